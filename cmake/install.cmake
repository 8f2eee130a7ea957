# What `cmake --install` puts where: the libraries, the headers, the command, and what pkg-config and find_package need
# to find them. The package files are written by hand, not exported: what liballoy needs are pkg-config's modules, which
# an export would freeze as this machine's paths. tests/house/ builds a program against an installed copy both ways.

include(CMakePackageConfigHelpers)

install(TARGETS alloy alloy_static
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET alloy_command)
    install(TARGETS alloy_command)
endif()
install(DIRECTORY include/alloy DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_file(cmake/alloy.pc.in alloy.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/alloy.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(alloy_package ${CMAKE_INSTALL_LIBDIR}/cmake/alloy)
configure_package_config_file(cmake/alloyConfig.cmake.in alloyConfig.cmake INSTALL_DESTINATION ${alloy_package}
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(alloyConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/alloyConfig.cmake ${PROJECT_BINARY_DIR}/alloyConfigVersion.cmake
        DESTINATION ${alloy_package})
