# liballoy.so exports the functions that include/alloy declares with ALLOY_API, by a list of their names for the linker.
# -fvisibility=hidden alone does not do: gcc exports the clones of a function (target_clones) whatever it is told.

function(alloy_export_declared target)
    file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/alloy/*.h)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
    foreach(header ${headers})
        file(READ ${header} text)
        string(REGEX MATCHALL "\nALLOY_API [^;(]*alloy_[a-z0-9_]+\\(" declarations "${text}")
        foreach(declaration ${declarations})
            string(REGEX REPLACE ".*(alloy_[a-z0-9_]+)\\($" "    \\1;\n" name "${declaration}")
            string(APPEND names "${name}")
        endforeach()
    endforeach()
    file(CONFIGURE OUTPUT exports.map CONTENT "{\n  global:\n${names}  local:\n    *;\n};\n" @ONLY)
    target_link_options(${target} PRIVATE -Wl,--version-script=${PROJECT_BINARY_DIR}/exports.map)
    # clang leaves a shared library's calls of its sanitizers to the program that loads it
    if(NOT (CMAKE_C_COMPILER_ID MATCHES "Clang" AND (ALLOY_FUZZ OR ALLOY_SANITIZE)))
        target_link_options(${target} PRIVATE -Wl,--no-undefined)
    endif()
    set_target_properties(${target} PROPERTIES LINK_DEPENDS ${PROJECT_BINARY_DIR}/exports.map)
endfunction()
