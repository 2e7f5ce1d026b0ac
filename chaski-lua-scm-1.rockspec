-- `luarocks --lua-version 5.4 make` in the project's folder. The libraries are the system's (see scripts/build for the
-- Debian packages), luv among them: a luv with a libuv of its own does not do. So no rock is fetched.
rockspec_format = "3.0"
package = "chaski-lua"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Nodes that find each other and exchange messages, scripted in Lua",
  license = "MIT",
}
dependencies = { "lua >= 5.4, < 5.5" }
external_dependencies = {
  LIBUV = { header = "uv.h" },
  MPACK = { header = "mpack.h" },
  OPENSSL = { header = "openssl/ssl.h" },
  LIBEDIT = { header = "editline/readline.h" },
}
build = {
  type = "command",
  build_command = "cmake -S . -B build/rock -DCMAKE_BUILD_TYPE=Release -DCHASKI_TESTS=OFF"
    .. " && cmake --build build/rock --target chaski",
  install_command = "cmake --install build/rock --prefix build/rock/image"
    .. " && mkdir -p '$(LUADIR)' '$(LIBDIR)' '$(BINDIR)'"
    .. " && cp -R build/rock/image/share/lua/5.4/. '$(LUADIR)'"
    .. " && cp -R build/rock/image/lib/lua/5.4/. '$(LIBDIR)'"
    .. " && cp build/rock/image/bin/* '$(BINDIR)'",
}
deploy = { wrap_bin_scripts = false }
