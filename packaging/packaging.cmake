# What is installed beside the programs (shell completion, a systemd unit), and the Debian package: `cpack -G DEB` in a
# build folder of the preset release. SPDX-License-Identifier: MIT
option(CHASKI_COMPLETION "install completion for bash and zsh (needs lua-argparse to build)" ON)
if(CHASKI_COMPLETION AND TARGET chaski-lua)
  set(completions "")
  foreach(shell bash zsh)
    set(file ${PROJECT_BINARY_DIR}/completion/chaski.${shell})
    file(GLOB_RECURSE cli CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lua/chaski/cli/*.lua)
    add_custom_command(
      OUTPUT ${file}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/completion
      COMMAND ${PROJECT_BINARY_DIR}/bin/chaski completion ${shell} > ${file}
      DEPENDS chaski-lua ${PROJECT_SOURCE_DIR}/bin/chaski ${cli}
      VERBATIM
      COMMENT "Writing the completion of ${shell}")
    list(APPEND completions ${file})
  endforeach()
  add_custom_target(chaski_completion DEPENDS ${completions})
  add_dependencies(chaski chaski_completion)
  install(FILES ${PROJECT_BINARY_DIR}/completion/chaski.bash DESTINATION share/bash-completion/completions
          RENAME chaski)
  install(FILES ${PROJECT_BINARY_DIR}/completion/chaski.zsh DESTINATION share/zsh/vendor-completions RENAME _chaski)
endif()

install(FILES ${PROJECT_SOURCE_DIR}/packaging/chaski@.service DESTINATION lib/systemd/system)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_NAME chaski-lua)
set(CPACK_PACKAGE_CONTACT "the authors of chaski-lua")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # libc, libuv, OpenSSL, Lua, luv, libedit
set(CPACK_DEBIAN_PACKAGE_DEPENDS "lua-luv, lua-argparse, lua-dkjson, lua-sql-sqlite3")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "graphviz")
include(CPack)
