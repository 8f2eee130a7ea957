# A room is a folder of src/ compiled as one object library. `alloy_room(NAME NEEDS lower rooms...)` takes every .c file below src/NAME
# (a new file needs no edit here), and what the library carries as text (embed.cmake); NEEDS are the rooms whose code it calls, and
# theirs. Tests of a room, tests/NAME/test_*.c, link that room and what it needs, so that a room is testable before the rooms above it
# exist.

include(cmake/embed.cmake)

set(ALLOY_ROOMS "" CACHE INTERNAL "")

function(alloy_flags target)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE ALLOY_BUILDING)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
                           -Wno-psabi -ffp-contract=off -fvisibility=hidden)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(${target} PRIVATE alloy_dependencies)
endfunction()

function(alloy_room name)
    cmake_parse_arguments(ROOM "" "" "NEEDS" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
    if(NOT sources)
        return()
    endif()
    add_library(room_${name} OBJECT ${sources})
    set_target_properties(room_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    alloy_flags(room_${name})
    alloy_embed(${name})

    set(all ${name})
    foreach(need ${ROOM_NEEDS})
        get_property(theirs GLOBAL PROPERTY alloy_room_${need})
        list(APPEND all ${theirs})
    endforeach()
    list(REMOVE_DUPLICATES all)
    set_property(GLOBAL PROPERTY alloy_room_${name} ${all})
    set(ALLOY_ROOMS ${ALLOY_ROOMS} ${name} CACHE INTERNAL "")
    if(BUILD_TESTING)
        alloy_room_tests(${name} ${all})
    endif()
endfunction()

function(alloy_room_tests name)
    file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/test_*.c)
    if(NOT tests)
        return()
    endif()
    foreach(need ${ARGN})
        list(APPEND objects $<TARGET_OBJECTS:room_${need}>)
    endforeach()
    # One archive a room keeps the link of its many test programs cheap.
    add_library(room_${name}_for_tests STATIC ${objects})
    foreach(test ${tests})
        get_filename_component(short ${test} NAME_WE)
        string(REPLACE "test_" "${name}_" program ${short})
        add_executable(${program} ${test})
        alloy_flags(${program})
        target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
        target_compile_definitions(${program} PRIVATE ALLOY_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
        target_link_libraries(${program} PRIVATE room_${name}_for_tests PkgConfig::CMOCKA)
        set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
        add_test(NAME ${name}/${short} COMMAND ${program})
        set_tests_properties(${name}/${short} PROPERTIES TIMEOUT 300)
    endforeach()
endfunction()
