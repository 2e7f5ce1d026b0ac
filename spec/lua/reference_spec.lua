-- docs/reference.md is what scripts/reference.lua makes of the annotations. SPDX-License-Identifier: MIT
describe("docs/reference.md", function()
  it("is current (else run: lua5.4 scripts/reference.lua)", function()
    assert.is_true((os.execute "lua5.4 scripts/reference.lua --check"))
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
    } do
      assert.truthy(text:find(expected, 1, true), expected)
    end
  end)
end)
