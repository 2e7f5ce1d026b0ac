-- docs/reference.md is what scripts/reference.lua makes of the annotations. SPDX-License-Identifier: MIT
describe("docs/reference.md", function()
  it("is current (else run: lua5.4 scripts/reference.lua)", function()
    assert.is_true((os.execute "lua5.4 scripts/reference.lua --check"))
  end)

  it("has every function of the module", function()
    local file <close> = assert(io.open "docs/reference.md")
    local text = file:read "a"
    for name, value in pairs(require "chaski") do
      if type(value) == "function" and name ~= "reconnect" then -- which is a policy, told of at the option
        local told = text:find("### chaski." .. name .. "(", 1, true) or text:find("\n| `" .. name .. "` | `", 1, true)
        assert.truthy(told, name)
      end
    end
  end)

  it("has every function of the module's tables, and of what they make", function()
    local file <close> = assert(io.open "docs/reference.md")
    local text = file:read "a"
    local function has(name, separator, member)
      local short = name:match "[%w_]+$"
      local heading = ("### %s%s%s("):format(short, separator, member)
      local told = text:find(heading, 1, true) or text:find(("### chaski.%s.%s("):format(name, member), 1, true)
      assert.truthy(told, name .. separator .. member)
    end
    local function has_all(name, separator, members)
      for member, value in pairs(members) do
        if type(value) == "function" and not member:find "^__" then has(name, separator, member) end
        if type(value) == "table" then has_all(member, separator, value) end
      end
    end
    for name, value in pairs(require "chaski") do
      if type(value) == "table" then has_all(name, ".", value) end
    end
    has_all("node", ":", require("chaski.core").node_methods)
  end)

  it("has every class, method and option", function()
    local file <close> = assert(io.open "docs/reference.md")
    local text = file:read "a"
    for _, expected in ipairs {
      "## chaski.node_options\n",
      "| `introspect` | `boolean?` |",
      "### node:publish(topic, data, options)\n\nSend to every edge that wants the topic.",
      "- `options`: `{ ttl: integer?, edge: chaski.edge? }?`",
      "- returns `true?, chaski.error?`",
      "## chaski.event\n",
      '| `"edge_open"` | (edge) |',
      "### pki.key(kind)",
      "### topology.ring(n, given)",
      "### sim:partition(left, right, on)",
    } do
      assert.truthy(text:find(expected, 1, true), expected)
    end
  end)
end)
