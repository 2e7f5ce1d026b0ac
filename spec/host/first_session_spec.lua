-- docs/first_session.md is what happens when somebody types it. SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local session = require "spec.host.first_session"

describe("docs/first_session.md", function()
  it(
    "is what the terminal shows",
    helper.async(function()
      local played = session.play()
      if os.getenv "CHASKI_RECORD" then session.write(played) end
      assert.equal(session.recorded(), played)
    end, 20)
  )
end)
