-- What the documents refer to is there. SPDX-License-Identifier: MIT
local uv = require "luv"

local documents = { "README.md", "CHANGELOG.md", "scripts/cookbook/README.md" }
for name in uv.fs_scandir_next, assert(uv.fs_scandir "docs") do
  if name:find "%.md$" then documents[#documents + 1] = "docs/" .. name end
end

describe("a document", function()
  for _, path in ipairs(documents) do
    it("refers to what is there: " .. path, function()
      local file <close> = assert(io.open(path))
      local folder = path:match "^(.*/)" or ""
      for link in file:read("a"):gmatch "%]%(([^)%s]+)%)" do
        local target = link:gsub("#.*", "")
        if not link:find "^%a+:" and target ~= "" then assert.truthy(uv.fs_stat(folder .. target), link) end
      end
    end)
  end
end)
