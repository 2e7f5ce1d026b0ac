-- codec_spec.lua: MessagePack <-> Lua, both ways: the mapping, the limits, what malformed bytes cost.
-- CHASKI_CODEC_MODULE names another module with the same functions (a build of the codec alone).
-- SPDX-License-Identifier: MIT
local chaski = require(os.getenv("CHASKI_CODEC_MODULE") or "chaski")

local pack, unpack, null = chaski.pack, chaski.unpack, chaski.null

local function hex(bytes)
  return (bytes:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

local function bytes(text)
  return (text:gsub("%s", ""):gsub("%x%x", function(h)
    return string.char(tonumber(h, 16))
  end))
end

local function packed(value, options)
  return hex(assert(pack(value, options)))
end

local function decoded(text, options)
  local value, err = unpack(bytes(text), options)
  assert.is_nil(err)
  return value
end

local function mark_of(value)
  local metatable = getmetatable(value)
  return metatable and metatable.__name
end

-- deep equality by type: 7 is not 7.0, a mark counts
local function same(a, b)
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end
  if type(a) ~= "table" then return a == b or (a ~= a and b ~= b) end
  if mark_of(a) ~= mark_of(b) then return false end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

local function assert_same(expected, got)
  assert.is_true(same(expected, got), "the values differ")
end

local function assert_malformed_bytes(raw, words, options)
  local value, err = unpack(raw, options)
  assert.is_nil(value)
  assert.equal("malformed_data", err and err.code)
  if words then assert.matches(words, tostring(err), 1, true) end
  return err
end

local function assert_malformed(text, words, options)
  return assert_malformed_bytes(bytes(text), words, options)
end

local function assert_refused(value, words, options)
  local result, err = pack(value, options)
  assert.is_nil(result)
  assert.equal("serialize", err and err.code)
  assert.equal(words, tostring(err))
end

local function nested(depth, make)
  local value = make()
  for _ = 2, depth do
    value = make(value)
  end
  return value
end

describe("codec", function()
  describe("golden bytes", function()
    local cases = {
      { "true", true, "c3" },
      { "false", false, "c2" },
      { "zero", 0, "00" },
      { "the largest one-byte integer", 127, "7f" },
      { "uint 8", 128, "cc80" },
      { "uint 8, largest", 255, "ccff" },
      { "uint 16", 256, "cd0100" },
      { "uint 16, largest", 65535, "cdffff" },
      { "uint 32", 65536, "ce00010000" },
      { "uint 32, largest", 4294967295, "ceffffffff" },
      { "uint 64", 4294967296, "cf0000000100000000" },
      { "the largest integer", math.maxinteger, "cf7fffffffffffffff" },
      { "minus one", -1, "ff" },
      { "the smallest one-byte integer", -32, "e0" },
      { "int 8", -33, "d0df" },
      { "int 8, smallest", -128, "d080" },
      { "int 16", -129, "d1ff7f" },
      { "int 16, smallest", -32768, "d18000" },
      { "int 32", -32769, "d2ffff7fff" },
      { "int 32, smallest", -2147483648, "d280000000" },
      { "int 64", -2147483649, "d3ffffffff7fffffff" },
      { "int 64 with a low half like a small int", -4294967297, "d3fffffffeffffffff" },
      { "the smallest integer", math.mininteger, "d38000000000000000" },
      { "a float", 1.5, "cb3ff8000000000000" },
      { "a float that is a whole number", 7.0, "cb401c000000000000" },
      { "minus zero", -0.0, "cb8000000000000000" },
      { "infinity", math.huge, "cb7ff0000000000000" },
      { "an empty string", "", "a0" },
      { "a string", "chaski", "a6636861736b69" },
      { "an empty table", {}, "80" },
      { "a sequence", { 1, 2.0, "x" }, "9301cb4000000000000000a178" },
      { "a map", { a = { b = true } }, "81a16181a162c3" },
    }
    for _, case in ipairs(cases) do
      local name, value, wire = case[1], case[2], case[3]
      it("packs and unpacks " .. name, function()
        assert.equal(wire, packed(value))
        assert_same(value, decoded(wire))
      end)
    end

    it("keeps the sign of minus zero", function()
      assert.equal(-math.huge, 1 / decoded("cb8000000000000000"))
    end)

    it("packs NaN as a value", function()
      local nan = unpack(pack(0 / 0))
      assert.is_true(nan ~= nan)
    end)

    local function repeated(n)
      return ("x"):rep(n)
    end

    it("chooses the shortest header of a string", function()
      for n, header in pairs {
        [31] = "bf",
        [32] = "d920",
        [255] = "d9ff",
        [256] = "da0100",
        [65535] = "daffff",
        [65536] = "db00010000",
      } do
        assert.equal(header .. ("78"):rep(n), packed(repeated(n)))
        assert.equal(repeated(n), unpack(pack(repeated(n))))
      end
    end)

    it("chooses the shortest header of a bin", function()
      for n, header in pairs {
        [0] = "c400",
        [255] = "c4ff",
        [256] = "c50100",
        [65535] = "c5ffff",
        [65536] = "c600010000",
      } do
        assert.equal(header .. ("78"):rep(n), packed(chaski.bin(repeated(n))))
        assert.equal(repeated(n), unpack(pack(chaski.bin(repeated(n)))))
      end
    end)

    it("chooses the shortest header of an array", function()
      for n, header in pairs { [15] = "9f", [16] = "dc0010", [65535] = "dcffff", [65536] = "dd00010000" } do
        local array = {}
        for i = 1, n do
          array[i] = 7
        end
        assert.equal(header .. ("07"):rep(n), packed(array))
        assert_same(array, unpack(pack(array)))
      end
    end)

    it("chooses the shortest header of a map", function()
      for n, header in pairs { [15] = "8f", [16] = "de0010", [65535] = "deffff", [65536] = "df00010000" } do
        local map = {}
        for i = 1, n do
          map["k" .. i] = i
        end
        local wire = pack(map)
        assert.equal(header, hex(wire):sub(1, #header))
        assert_same(map, unpack(wire))
      end
    end)

    it("chooses the shortest header of an extension", function()
      local headers = {
        [0] = "c70005",
        "d405",
        "d505",
        "c70305",
        "d605",
        [8] = "d705",
        [16] = "d805",
        [17] = "c71105",
        [256] = "c8010005",
        [65536] = "c90001000005",
      }
      for n, header in pairs(headers) do
        local ext = chaski.ext(5, repeated(n))
        assert.equal(header .. ("78"):rep(n), packed(ext))
        assert.equal(ext, unpack(pack(ext)))
      end
    end)
  end)

  describe("numbers", function()
    it("reads every width, also where a shorter one would do", function()
      for _, wire in ipairs {
        "05",
        "cc05",
        "cd0005",
        "ce00000005",
        "cf0000000000000005",
        "d005",
        "d10005",
        "d200000005",
        "d30000000000000005",
      } do
        assert_same(5, decoded(wire))
      end
      for _, wire in ipairs { "fb", "d0fb", "d1fffb", "d2fffffffb", "d3fffffffffffffffb" } do
        assert_same(-5, decoded(wire))
      end
    end)

    it("keeps every integer near a power of two", function()
      for bit = 0, 63 do
        for delta = -2, 2 do
          local n = (1 << bit) + delta
          assert_same(n, unpack(pack(n)))
          assert_same(-n, unpack(pack(-n)))
        end
      end
    end)

    it("makes a float of an unsigned integer above 2^63-1", function()
      assert_same(2.0 ^ 63, decoded "cf8000000000000000")
      assert_same(2.0 ^ 64, decoded "cfffffffffffffffff")
    end)

    it("reads a float 32", function()
      assert_same(1.5, decoded "ca3fc00000")
    end)
  end)

  describe("strings", function()
    local valid = {
      "",
      "ascii",
      "ünïcödé",
      "\u{7ff}\u{800}\u{ffff}",
      "\u{10000}\u{10ffff}",
      "\0nul",
      ("a"):rep(7) .. "é",
      ("a"):rep(8) .. "é",
    }
    local invalid = {
      "\x80",
      "\xff",
      "\xc3",
      "\xc0\xaf",
      "\xe0\x80\xaf",
      "\xed\xa0\x80",
      "\xf0\x80\x80\xaf",
      "\xf4\x90\x80\x80",
      "\xf5\x80\x80\x80",
      "\xe2\x82",
      "\xf0\x9f\x98",
      "\xc3a",
      ("a"):rep(8) .. "\xff",
      ("a"):rep(15) .. "\xc3",
      ("é"):rep(9) .. "\xa9",
    }

    it("packs valid UTF-8 as str, anything else as bin", function()
      for _, s in ipairs(valid) do
        assert.equal(#s < 32 and 0xa0 + #s or 0xd9, pack(s):byte())
        assert.equal(s, unpack(pack(s)))
      end
      for _, s in ipairs(invalid) do
        assert.equal(0xc4, pack(s):byte(), hex(s))
        assert.equal(s, unpack(pack(s)))
      end
    end)

    it("packs all as strings = says", function()
      assert.equal("a1ff", packed("\xff", { strings = "str" }))
      assert.equal("c40161", packed("a", { strings = "bin" }))
      assert.equal("a161", packed("a", { strings = "auto" }))
    end)

    it("leaves keys alone with strings = bin", function()
      assert.equal("81a16bc40176", packed({ k = "v" }, { strings = "bin" }))
      assert.equal("81a1ffa1ff", packed({ ["\xff"] = "\xff" }, { strings = "str" }))
    end)

    it("can be forced one by one", function()
      assert.equal("c40161", packed(chaski.bin "a"))
      assert.equal("a1ff", packed(chaski.str "\xff"))
      assert.equal("92c40161a161", packed({ chaski.bin "a", chaski.str "a" }, { strings = "str" }))
    end)

    it("unpack str and bin to Lua strings", function()
      assert_same({ "a", "b" }, decoded "92a161c40162")
      assert_same({ k = 1 }, decoded "81c4016b01")
    end)

    it("unpack typed on request, so that a round trip loses no type", function()
      for _, strings in ipairs { "str", "bin" } do
        local wire = bytes "94a161c401629180c4ff" .. ("z"):rep(255)
        assert.equal(hex(wire), packed(unpack(wire, { strings = strings }), { strings = strings }))
      end
      local value = decoded("92a161c40162", { strings = "str" })
      assert.equal("a", value[1])
      assert.equal(chaski.bin "b", value[2])
      assert.equal(chaski.str "a", decoded("92a161c40162", { strings = "bin" })[1])
      assert.equal(1, decoded("81c4016b01", { strings = "str" }).k)
    end)
  end)

  describe("wrapped strings", function()
    it("answer tostring, # and ==", function()
      assert.equal("abc", tostring(chaski.bin "abc"))
      assert.equal("abc", tostring(chaski.str "abc"))
      assert.equal(3, #chaski.bin "abc")
      assert.equal(chaski.bin "a", chaski.bin "a")
      assert.is_false(chaski.bin "a" == chaski.bin "b")
      assert.is_false(chaski.bin "a" == chaski.str "a")
      assert.is_false(
        chaski.bin "a" == null or null == chaski.bin "a" or chaski.bin "a" == io.stdout or io.stdout == chaski.bin "a"
      )
    end)

    it("are made of strings only", function()
      assert.has_error(function()
        chaski.bin(1)
      end)
      assert.has_error(function()
        chaski.str()
      end)
    end)
  end)

  describe("nil", function()
    it("at the top is nil without an error", function()
      assert.equal("c0", packed(nil))
      assert.equal(1, select("#", unpack "\xc0"))
      assert.is_nil((unpack "\xc0"))
      assert.equal("c0", packed(null))
    end)

    it("in an array is chaski.null", function()
      assert.equal("93c001c0", packed { null, 1, null })
      local array = decoded "93c001c0"
      assert.is_true(array[1] == null and array[2] == 1 and array[3] == null and #array == 3)
    end)

    it("in a map is an absent key", function()
      assert.equal("81a161c0", packed { a = null })
      assert.is_nil(next(decoded "81a161c0"))
      assert_same({ b = 2 }, decoded "82a161c0a16202")
    end)

    it("is one value that prints its name", function()
      assert.equal("chaski.null", tostring(null))
      assert.is_true(null and true)
    end)
  end)

  describe("tables", function()
    it("with keys 1 to n are arrays, however they were filled", function()
      local backwards = {}
      for i = 40, 1, -1 do
        backwards[i] = i
      end
      assert.equal(0xdc, pack(backwards):byte())
      assert_same(backwards, unpack(pack(backwards)))
    end)

    it("with holes or other keys are maps", function()
      for _, map in ipairs {
        { 1, nil, 3 },
        { 1, 2, n = 2 },
        { [0] = 0, 1 },
        { [2] = 2 },
        { 1, [1.5] = 2 },
        { 1, [math.mininteger] = 0 },
        { 1, [-1] = 0 },
      } do
        local wire = pack(map)
        assert.equal(0x80, wire:byte() & 0xf0)
        assert_same(chaski.map(map), unpack(wire))
      end
    end)

    it("are read raw", function()
      local function boom()
        error "called"
      end
      local value = setmetatable(
        { a = 1 },
        { __index = boom, __pairs = boom, __len = boom, __tostring = boom, __pack = boom }
      )
      assert.equal("81a16101", packed(value))
    end)

    it("have string, number and boolean keys", function()
      local map = { a = 1, [true] = 2, [false] = 3, [-5] = 4, [1.5] = 5, [1 << 40] = 6, ["\xff"] = 7 }
      assert_same(chaski.map(map), unpack(pack(map)))
    end)

    it("have no other keys", function()
      assert_refused({ a = { [{}] = 1 } }, "value.a: a key cannot be a table")
      assert_refused({ [chaski.bin "a"] = 1 }, "value: a key cannot be a userdata")
      assert_refused({ [print] = 1 }, "value: a key cannot be a function")
    end)

    it("may occur twice when that is no cycle", function()
      local twice = { 1 }
      assert.equal("9291019101", packed { twice, twice })
    end)

    it("are sorted on request: booleans, numbers, strings", function()
      local map =
        { b = 1, a = 2, aa = 3, [""] = 4, [10] = 5, [-1] = 6, [2.5] = 7, [true] = 8, [false] = 9, ["\xff"] = 10 }
      local sorted = "8a c209 c308 ff06 cb400400000000000007 0a05 a004 a16102 a2616103 a16201 c401ff0a"
      assert.equal((sorted:gsub(" ", "")), packed(map, { sort_keys = true }))
      assert.equal("82a16182a16301a16402a16203", packed({ b = 3, a = { d = 2, c = 1 } }, { sort_keys = true }))
    end)

    it("have the same sorted bytes in whatever order they were filled", function()
      local up, down = {}, {}
      for i = 1, 500 do
        up["k" .. i] = { x = i, y = i }
      end
      for i = 500, 1, -1 do
        down["k" .. i] = { y = i, x = i }
      end
      assert.equal(pack(up, { sort_keys = true }), pack(down, { sort_keys = true }))
      assert_same(up, unpack(pack(up, { sort_keys = true })))
    end)

    it("from a map with a key that comes twice have the last value", function()
      assert_same({ a = 2 }, decoded "82a16101a16102")
      assert.is_nil(next(decoded "82a16101a161c0"))
    end)
  end)

  describe("marks", function()
    it("decide the doubtful cases", function()
      assert.equal("90", packed(chaski.array {}))
      assert.equal("90", packed(chaski.array()))
      assert.equal("80", packed(chaski.map {}))
      assert.equal("82010a0214", packed(chaski.map { 10, 20 }, { sort_keys = true }))
      assert.equal("920a14", packed(chaski.array { 10, 20 }))
    end)

    it("return the table they mark", function()
      local t = {}
      assert.equal(t, chaski.array(t))
      assert.equal("chaski.array", mark_of(t))
      assert.equal(t, chaski.map(t))
      assert.equal("chaski.map", mark_of(t))
    end)

    it("spare somebody's metatable", function()
      assert.has_error(function()
        chaski.array(setmetatable({}, {}))
      end)
      assert.has_error(function()
        chaski.map(1)
      end)
    end)

    it("are set where a round trip needs them", function()
      for _, wire in ipairs { "90", "80", "929080", "8101a161", "810190" } do
        assert.equal(wire, packed(decoded(wire)))
      end
      assert.is_nil(getmetatable(decoded "80"))
      assert.is_nil(getmetatable(decoded "9101"))
      assert.is_nil(getmetatable(decoded "81a16101"))
    end)

    it("do not make an array of what is none", function()
      local words = ": a chaski.array has keys other than 1 to n, or holes (chaski.null fills one)"
      assert_refused(chaski.array { n = 0 }, "value" .. words)
      assert_refused({ x = chaski.array { 1, nil, 3 } }, "value.x" .. words)
    end)
  end)

  describe("timestamps", function()
    local cases = {
      { 0, 0, "d6ff00000000" },
      { 1, 0, "d6ff00000001" },
      { 2 ^ 32 - 1 | 0, 0, "d6ffffffffff" },
      { 2 ^ 32 | 0, 0, "d7ff0000000100000000" },
      { 0, 1, "d7ff0000000400000000" },
      { 2 ^ 34 - 1 | 0, 999999999, "d7ffee6b27ffffffffff" },
      { 2 ^ 34 | 0, 0, "c70cff000000000000000400000000" },
      { -1, 999999999, "c70cff3b9ac9ffffffffffffffffff" },
      { math.mininteger, 0, "c70cff000000008000000000000000" },
      { math.maxinteger, 5, "c70cff000000057fffffffffffffff" },
    }
    for _, case in ipairs(cases) do
      it(("are packed and unpacked: %d s %d ns"):format(case[1], case[2]), function()
        local stamp = chaski.timestamp(case[1], case[2])
        assert.equal(case[3], packed(stamp))
        local back = decoded(case[3])
        assert.equal(stamp, back)
        assert.equal(case[1], back.sec)
        assert.equal(case[2], back.nsec)
      end)
    end

    it("are read in every form, not only the shortest", function()
      for _, wire in ipairs {
        "d6ff00000007",
        "d7ff0000000000000007",
        "c70cff000000000000000000000007",
        "c704ff00000007",
        "c80004ff00000007",
      } do
        assert.equal(chaski.timestamp(7), decoded(wire))
      end
    end)

    it("are malformed with too many nanoseconds or another length", function()
      assert_malformed("d7ff ee6b2800 00000000", "1000000000 nanoseconds")
      assert_malformed("c70cff 3b9aca00 0000000000000000", "1000000000 nanoseconds")
      assert_malformed("c70cff ffffffff 0000000000000000", "nanoseconds")
      for _, wire in ipairs { "d4ff00", "d5ff0000", "c700ff", "c703ff000000", ("d8ff" .. ("00"):rep(16)) } do
        assert_malformed(wire, "a timestamp of")
      end
    end)

    it("print ISO 8601 in UTC", function()
      local texts = {
        ["1970-01-01T00:00:00Z"] = chaski.timestamp(0),
        ["1969-12-31T23:59:59.999999999Z"] = chaski.timestamp(-1, 999999999),
        ["2000-02-29T12:34:56.5Z"] = chaski.timestamp(951827696, 500000000),
        ["2026-11-22T16:12:36.124096Z"] = chaski.timestamp(1795363956, 124096000),
        ["9999-12-31T23:59:59Z"] = chaski.timestamp(253402300799),
        ["+10000-01-01T00:00:00Z"] = chaski.timestamp(253402300800),
        ["0000-01-01T00:00:00Z"] = chaski.timestamp(-62167219200),
        ["-0001-12-31T23:59:59Z"] = chaski.timestamp(-62167219201),
        ["+292277026596-12-04T15:30:07.999999999Z"] = chaski.timestamp(math.maxinteger, 999999999),
        ["-292277022657-01-27T08:29:52Z"] = chaski.timestamp(math.mininteger),
      }
      for text, stamp in pairs(texts) do
        assert.equal(text, tostring(stamp))
      end
    end)

    it("agree with os.date", function()
      for sec = -3000000000, 6000000000, 12345677 do
        assert.equal(os.date("!%Y-%m-%dT%H:%M:%SZ", sec), tostring(chaski.timestamp(sec)))
      end
    end)

    it("compare", function()
      local early, late = chaski.timestamp(1, 5), chaski.timestamp(1, 6)
      assert.is_true(
        early < late and early <= late and late > early and late >= early and early <= chaski.timestamp(1, 5)
      )
      assert.is_false(early == late or late < early or early < early or late <= early)
      assert.is_true(chaski.timestamp(-1) < chaski.timestamp(0))
      assert.is_false(early == null or null == early or chaski.bin "a" == early)
      assert.has_error(function()
        return early < 5
      end)
    end)

    it("are seconds as a float, and are made of them", function()
      assert_same(1.5, chaski.timestamp(1, 500000000):seconds())
      assert_same(3.0, chaski.timestamp(3):seconds())
      assert.equal(chaski.timestamp(1, 500000000), chaski.timestamp(1.5))
      assert.equal(chaski.timestamp(-2, 750000000), chaski.timestamp(-1.25))
      assert.equal(chaski.timestamp(2), chaski.timestamp(2 - 1e-12))
      assert.equal(chaski.timestamp(2, 3), chaski.timestamp(2.0, 3))
    end)

    it("cannot be changed or made of nonsense", function()
      assert.has_error(function()
        chaski.timestamp(0).sec = 1
      end)
      assert.is_nil(chaski.timestamp(0).other)
      for _, args in ipairs {
        {},
        { "1" },
        { 1, -1 },
        { 1, 1000000000 },
        { 1.5, 1 },
        { 0 / 0 },
        { math.huge },
        { 2.0 ^ 63 },
      } do
        assert.has_error(function()
          chaski.timestamp(table.unpack(args))
        end)
      end
    end)
  end)

  describe("extensions", function()
    it("that are unknown survive a round trip", function()
      for _, type in ipairs { -128, -2, 0, 1, 127 } do
        for _, n in ipairs { 0, 1, 2, 3, 4, 5, 8, 12, 16, 17, 300 } do
          local ext = unpack(pack(chaski.ext(type, ("\xff"):rep(n))))
          assert.equal(type, ext.type)
          assert.equal(("\xff"):rep(n), ext.bytes)
        end
      end
    end)

    it("compare by type and bytes, and print", function()
      assert.equal(chaski.ext(1, "a"), chaski.ext(1, "a"))
      assert.is_false(chaski.ext(1, "a") == chaski.ext(2, "a") or chaski.ext(1, "a") == chaski.ext(1, "b"))
      assert.equal("chaski.ext(-3, 2 bytes)", tostring(chaski.ext(-3, "ab")))
      assert.equal(2, #chaski.ext(-3, "ab"))
    end)

    it("have a type from -128 to 127 that is not the timestamp's", function()
      for _, type in ipairs { -129, 128, -1, 1.5 } do
        assert.has_error(function()
          chaski.ext(type, "")
        end)
      end
    end)
  end)

  describe("what cannot be packed", function()
    it("is named with its place", function()
      assert_refused(print, "value: cannot serialise a function")
      assert_refused({ a = { 1, 2, print } }, "value.a[3]: cannot serialise a function")
      assert_refused({ ["two words"] = coroutine.create(print) }, 'value["two words"]: cannot serialise a thread')
      assert_refused({ [true] = { [2.5] = print } }, "value[true][2.5]: cannot serialise a function")
      assert_refused({ [-1] = io.stdout }, "value[-1]: cannot serialise a FILE*")
      assert_refused({ ['1a\n"'] = print }, 'value["1a??"]: cannot serialise a function')
      assert_refused({ a = { z = print } }, "value.a.z: cannot serialise a function", { sort_keys = true })
    end)

    it("has a place of bounded length", function()
      local value = print
      for _ = 1, 30 do
        value = { [("k"):rep(200)] = value }
      end
      local _, err = pack(value)
      assert.is_true(#tostring(err) < 300)
      assert.matches("%.%.%.: cannot serialise a function$", tostring(err))
    end)

    it("may be a cyclic table", function()
      local t = { a = { b = {} } }
      t.a.b[1] = t
      assert_refused(t, "value.a.b[1]: a cyclic table")
      t.a.b[1] = t.a
      assert_refused(t, "value.a.b[1]: a cyclic table")
    end)

    it("may be a table too deep", function()
      local function deep(n)
        return nested(n, function(inner)
          return { a = inner }
        end)
      end
      assert.is_string(pack(deep(32)))
      assert_refused(deep(33), "value.a.a.a.a.a.a.a.a...: nested deeper than 32")
      assert_refused(deep(2), "value.a: nested deeper than 1", { depth = 1 })
      assert.is_string(pack(deep(128), { depth = 128 }))
      assert_refused(deep(100000), "value.a.a.a.a.a.a.a.a...: nested deeper than 128", { depth = 128 })
    end)

    it("may be too much", function()
      assert_refused({ 1, 2, { 3 } }, "value[3][1]: more than 3 values", { count = 3 })
      assert_refused({ {}, {} }, "value[2]: more than 2 tables", { tables = 2 })
      assert_refused(
        { x = { [("k"):rep(257)] = 1 } },
        ('value.x["%s..."]: a key longer than 256 bytes'):format(("k"):rep(40))
      )
      assert.is_string(pack { [("k"):rep(256)] = 1 })
      local map = {}
      for i = 1, 4097 do
        map[-i] = true
      end
      assert_refused(map, "value: more than 4096 number keys in maps")
      map[-1] = nil
      assert.is_string(pack(map))
    end)

    it("may have more bytes than the option size", function()
      for _, n in ipairs { 10, 1000, 100000 } do
        assert.is_string(pack(("x"):rep(n - 5), { size = n }))
        local result, err = pack({ ("x"):rep(n) }, { size = n })
        assert.is_nil(result)
        assert.equal("too_big", err.code)
        local text = ("value: larger than the limit of %d bytes"):format(n)
        assert.equal(text, (tostring(err):gsub("%[1%]", "")))
      end
    end)

    it("leaves the next call alone", function()
      pack { 1, { 2, print } }
      assert.equal("920102", packed { 1, 2 })
      pack({ a = 1, b = print }, { sort_keys = true })
      assert.equal("82a16101a16202", packed({ b = 2, a = 1 }, { sort_keys = true }))
    end)
  end)

  describe("malformed bytes", function()
    it("have a code, and an error that says where", function()
      local err = assert_malformed("93 01 02 c1", "malformed data at byte 4: invalid first byte")
      assert.equal("oh: " .. tostring(err), "oh: " .. err)
      assert.equal(tostring(err) .. "!", err .. "!")
      assert.equal("chaski.error", getmetatable(err).__name)
    end)

    it("may be none at all, or too many", function()
      assert_malformed("", "truncated")
      assert_malformed("01 02", "at byte 2: 1 bytes after the value")
      assert_malformed("c0 c0", "1 bytes after the value")
      assert_malformed("81 a161 01 90 90", "2 bytes after the value")
    end)

    it("may end where a key should begin", function()
      assert_malformed("82 a3616263 01", "at byte 7: truncated")
      assert_malformed("92 82 a3616263 01", "at byte 8: truncated")
    end)

    it("may end at any byte", function()
      local whole = pack {
        1,
        200,
        60000,
        1 << 20,
        1 << 40,
        -1,
        -100,
        -1000,
        -1 << 20,
        -1 << 40,
        1.5,
        true,
        null,
        "s",
        ("s"):rep(40),
        ("s"):rep(300),
        ("s"):rep(70000),
        chaski.bin "b",
        chaski.bin(("b"):rep(300)),
        chaski.timestamp(1),
        chaski.timestamp(1, 1),
        chaski.timestamp(-1),
        chaski.ext(1, "a"),
        chaski.ext(1, "abc"),
        chaski.ext(1, ("a"):rep(300)),
        chaski.ext(1, ("a"):rep(70000)),
        { a = { b = {} } },
      }
      assert.is_table(unpack(whole))
      for n = 0, #whole - 1, 1 do
        if n < 1500 or n % 997 == 0 or n > #whole - 500 then assert_malformed_bytes(whole:sub(1, n), "truncated") end
      end
    end)

    it("may be any first byte with nothing behind it", function()
      for first = 0, 255 do
        local value, err = unpack(string.char(first))
        assert.is_true(err == nil or (value == nil and err.code == "malformed_data"))
      end
    end)

    it("may announce four gigabytes or elements in five bytes, which takes no memory", function()
      collectgarbage()
      local before = collectgarbage "count"
      for _, first in ipairs { "dd", "df", "db", "c6", "c9" } do
        assert_malformed(first .. "ffffffff", first == "c9" and "truncated" or "announced")
        assert_malformed(first .. "ffffffff" .. ("00"):rep(100), "announced")
      end
      for _, wire in ipairs { "dcffff", "deffff", "daffff", "c5ffff", "c8ffff01", "9201", "8201", "a261" } do
        assert_malformed(wire, "announced")
      end
      assert.is_true(collectgarbage "count" - before < 512)
    end)

    it("may nest ten thousand deep", function()
      for _, open in ipairs { "\x91", "\x81\xa1a", "\x81\x01" } do
        assert_malformed_bytes(open:rep(10000) .. "\x01", "nested deeper than 32")
        assert.is_table(unpack(open:rep(32) .. "\x01"))
        assert_malformed_bytes(open:rep(33) .. "\x01", "nested deeper than 32")
        assert_malformed_bytes(open:rep(10000) .. "\x01", "nested deeper than 128", { depth = 128 })
        assert.is_table(unpack(open:rep(128) .. "\x01", { depth = 128 }))
      end
    end)

    it("may have keys that are none", function()
      assert_malformed("81 c0 01", "a key that is nil")
      assert_malformed("81 cb7ff8000000000000 01", "a key that is not a number")
      assert_malformed("81 ca7fc00000 01", "a key that is not a number")
      for _, key in ipairs { "90", "80", "9101", "d40500", "d6ff00000000" } do
        assert_malformed("81" .. key .. "01", "neither string, number nor boolean")
      end
    end)

    it("may have too much of something", function()
      assert_malformed("93 01 02 91 03", "more than 3 values", { count = 3 })
      assert_same({ 1, 2, { 3 } }, decoded("93 01 02 91 03", { count = 4 }))
      assert_malformed("81 a161 91 03", "more than 1 values", { count = 1 })
      assert_malformed("92 90 90", "more than 2 tables", { tables = 2 })
      assert_malformed_bytes("\x81\xda\x01\x01" .. ("k"):rep(257) .. "\x01", "a key longer than 256 bytes")
      assert.is_table(unpack("\x81\xda\x01\0" .. ("k"):rep(256) .. "\x01"))
      assert_malformed("81 a26161 01", "a key longer than 1 bytes", { key_size = 1 })
    end)

    it("may have too many values or tables by default", function()
      assert_malformed_bytes("\xdd\0\x10\0\x01" .. ("\1"):rep(1048577), "more than 1048576 values")
      assert_malformed_bytes("\xdd\0\1\0\0" .. ("\x80"):rep(65536), "more than 65536 tables")
      assert.is_table(unpack("\xdd\0\0\xff\xff" .. ("\x80"):rep(65535)))
    end)

    it("may have too many number keys, in all maps together", function()
      local function map(first, last)
        local pairs_of = {}
        for i = first, last do
          pairs_of[#pairs_of + 1] = "\xce" .. (">I4"):pack(i * 32767) .. "\1"
        end
        return "\xde" .. (">I2"):pack(#pairs_of) .. table.concat(pairs_of)
      end
      assert.is_table(unpack("\x92" .. map(1, 2000) .. map(2001, 4096)))
      assert_malformed_bytes("\x92" .. map(1, 2000) .. map(2001, 4097), "more than 4096 number keys in maps")
    end)
  end)

  describe("arguments", function()
    it("raise when an option is unknown", function()
      local function message(...)
        return select(2, pcall(...))
      end
      assert.matches("unknown option 'string', did you mean 'strings'?", message(pack, 1, { string = "bin" }), 1, true)
      assert.matches(
        "unknown option 'sortkeys', did you mean 'sort_keys'?",
        message(pack, 1, { sortkeys = true }),
        1,
        true
      )
      assert.matches("unknown option 'dept', did you mean 'depth'?", message(unpack, "", { dept = 1 }), 1, true)
      assert.matches("unknown option 'colour'$", (message(pack, 1, { colour = 1 }):gsub("%)$", "")))
      assert.matches("unknown option 'sort_keys'", message(unpack, "", { sort_keys = true }), 1, true)
      assert.matches("an option's name is a string", message(unpack, "", { 1 }), 1, true)
    end)

    it("raise when an option has a value it cannot have", function()
      for _, options in ipairs {
        { strings = "utf8" },
        { strings = 1 },
        { sort_keys = 1 },
        { depth = 0 },
        { depth = 129 },
        { depth = "5" },
        { count = 1.5 },
        { size = -1 },
      } do
        assert.has_error(function()
          pack(1, options)
        end)
      end
      for _, options in ipairs {
        { strings = "utf8" },
        { depth = 0 },
        { depth = 129 },
        { count = 0 },
        { tables = "1" },
        { key_size = 2 ^ 40 },
      } do
        assert.has_error(function()
          unpack("\1", options)
        end)
      end
    end)

    it("raise when they are of the wrong type", function()
      for _, call in ipairs { { pack }, { pack, 1, 2 }, { unpack }, { unpack, 5 }, { unpack, "\1", "x" } } do
        assert.has_error(function()
          call[1](table.unpack(call, 2))
        end)
      end
    end)

    it("may be nil where options stand", function()
      assert.equal("\1", pack(1, nil))
      assert.equal(1, unpack("\1", nil))
    end)
  end)

  describe("random values", function()
    local function random_string()
      local letters = {}
      for i = 1, math.random(0, 40) do
        letters[i] = math.random(8) == 1 and utf8.char(math.random(0x80, 0xd7ff)) or string.char(math.random(0, 127))
      end
      if math.random(4) == 1 then letters[#letters + 1] = string.char(math.random(128, 255)) end
      return table.concat(letters)
    end

    local function random_integer()
      return math.random(0) >> math.random(0, 63)
    end

    local function random_float()
      local float = string.unpack("d", string.pack("I8", math.random(0) & 0x7fffffffffffffff))
      return float == float and float or 0.5
    end

    local scalars = {
      random_string,
      random_integer,
      function()
        return -random_integer()
      end,
      random_float,
      function()
        return math.random(2) == 1
      end,
      function()
        return chaski.timestamp(random_integer(), math.random(0, 999999999))
      end,
      function()
        return chaski.ext(math.random(0, 127), random_string())
      end,
    }

    local function random_scalar()
      return scalars[math.random(#scalars)]()
    end

    local function random_value(depth)
      local kind = depth > 4 and 3 or math.random(5)
      if kind > 2 then return random_scalar() end
      local value, n = {}, math.random(0, depth == 0 and 20 or 5)
      if kind == 1 then
        for i = 1, n do
          value[i] = math.random(10) == 1 and null or random_value(depth + 1)
        end
        return n == 0 and chaski.array(value) or value
      end
      local numbers = math.random(3) == 1
      if numbers and n > 0 then chaski.map(value) end
      for _ = 1, n do
        value[numbers and math.random(0, 20) - 10 or random_string()] = random_value(depth + 1)
      end
      return value
    end

    local rounds = os.getenv "CHASKI_GC" and 100 or 2000 -- an aggressive collector is slow, and needs no luck

    it("survive a round trip", function()
      math.randomseed(20261123)
      for i = 1, rounds do
        local value = random_value(0)
        local sorted = { sort_keys = i % 2 == 0 }
        local wire = assert(pack(value, sorted))
        assert_same(value, unpack(wire))
        if sorted.sort_keys then assert.equal(wire, pack(unpack(wire), sorted)) end
      end
    end)

    it("with bytes changed are another value or malformed, nothing else", function()
      math.randomseed(7)
      for _ = 1, rounds do
        local wire = pack(random_value(0))
        local at = math.random(#wire)
        local value, err = unpack(wire:sub(1, at - 1) .. string.char(math.random(0, 255)) .. wire:sub(at + 1))
        assert.is_true(err == nil or (value == nil and err.code == "malformed_data"))
      end
    end)
  end)
end)
