# What `cmake --install build/release --prefix DIR` puts where: the programs, their services, the device classes to start from
# (the daemon has them inside too), servers for other runtimes and what is read. A package takes the same tree with prefix /usr.
include(GNUInstallDirs)

function(quantfleet_install)
  install(TARGETS quantfleetd quantfleet-agent quantfleet RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # Made by the programs, so not where they cannot run.
  if(NOT CMAKE_CROSSCOMPILING)
    foreach(program IN ITEMS quantfleetd quantfleet-agent quantfleet)
      install(CODE "
        set(prefix \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")
        foreach(file IN ITEMS bash:bash-completion/completions/${program} zsh:zsh/vendor-completions/_${program}
                              fish:fish/vendor_completions.d/${program}.fish)
          string(REPLACE \":\" \";\" file \"\${file}\")
          list(GET file 0 shell)
          list(GET file 1 path)
          execute_process(COMMAND $<TARGET_FILE:${program}> completion \${shell} OUTPUT_VARIABLE text
                          COMMAND_ERROR_IS_FATAL ANY)
          file(WRITE \"\${prefix}/\${path}\" \"\${text}\")
        endforeach()
        execute_process(COMMAND $<TARGET_FILE:${program}> manual --out \"\${prefix}/man/man1\"
                        OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)")
    endforeach()
  endif()
  # Where systemd looks below any prefix; its own variable for that names the host's folder, absolute.
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/systemd/ DESTINATION lib/systemd/system FILES_MATCHING PATTERN "*.service")
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/classes DESTINATION ${CMAKE_INSTALL_DATADIR}/quantfleet
    FILES_MATCHING PATTERN "*.toml")
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/runtimes DESTINATION ${CMAKE_INSTALL_DATADIR}/quantfleet USE_SOURCE_PERMISSIONS
    FILES_MATCHING PATTERN "*.py" PATTERN "*.sh" PATTERN "requirements.txt" PATTERN "__pycache__" EXCLUDE)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/LICENSES DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.txt")
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
endfunction()
