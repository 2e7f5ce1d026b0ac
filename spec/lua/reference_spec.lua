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
