# Files of an instruction set are compiled with its own flags; the table is filled at run time by what the processor has
# (src/kernels/kernels.h). Nothing outside src/kernels/cpu/NAME is compiled with these flags.

function(alloy_kernel_flags folder)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/cpu/${folder}/*.c)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT ALLOY_GENERIC_ONLY)
    target_compile_definitions(room_kernels PRIVATE ALLOY_HAVE_AVX2 ALLOY_HAVE_AVX512)
    alloy_kernel_flags(avx2 -mavx2 -mfma -mf16c -mprefer-vector-width=256)
    alloy_kernel_flags(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512)
elseif(TARGET room_kernels)
    file(GLOB sources ${PROJECT_SOURCE_DIR}/src/kernels/cpu/avx2/*.c ${PROJECT_SOURCE_DIR}/src/kernels/cpu/avx512/*.c)
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
endif()
