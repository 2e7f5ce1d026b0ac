#!/usr/bin/env python3
# channel_peer.py: a TLS client for the specs of channels that says whatever bytes it is told to, from the same TLS
# library by another way. SPDX-License-Identifier: MIT
#
# usage: channel_peer.py PORT HEX...
#   Connects to 127.0.0.1:PORT without a certificate and without checking the other's, sends each argument as bytes, and
#   prints in hexadecimal what comes until the other end closes.
import socket
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["chaski-ca/1"])
plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
stream = context.wrap_socket(plain)
for each in sys.argv[2:]:
    stream.sendall(bytes.fromhex(each))
received = b""
try:
    while True:
        piece = stream.recv(65536)
        if not piece:
            break
        received += piece
except (ssl.SSLError, ConnectionError):
    pass
print(received.hex())
