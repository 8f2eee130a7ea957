# Files of an instruction set are compiled with its own flags; the table is chosen at run time by what the processor has
# (src/kernels/table.c). Nothing outside src/kernels/cpu/NAME is compiled with these flags.

function(alloy_kernel_flags folder)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/cpu/${folder}/*.c)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${ARGN}")
    if(NOT sources)
        return()
    endif()
    string(TOUPPER ${folder} name)
    if(NOT name STREQUAL "GENERIC")
        target_compile_definitions(room_kernels PRIVATE ALLOY_HAVE_${name})
    endif()
endfunction()

# Kernels are loops: -O3 unless the build is for debugging.
set(loops $<$<CONFIG:Release,RelWithDebInfo>:-O3>)
alloy_kernel_flags(generic ${loops})
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT ALLOY_GENERIC_ONLY)
    alloy_kernel_flags(avx2 ${loops} -mavx2 -mfma -mf16c)
    alloy_kernel_flags(avx512 ${loops} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
else()
    file(GLOB sources ${PROJECT_SOURCE_DIR}/src/kernels/cpu/avx2/*.c ${PROJECT_SOURCE_DIR}/src/kernels/cpu/avx512/*.c)
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
endif()

# bench/kernels.c: `cmake --build build/release --target bench_kernels`
add_executable(bench_kernels EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/bench/kernels.c $<TARGET_OBJECTS:room_base> $<TARGET_OBJECTS:room_kernels>)
alloy_flags(bench_kernels)
