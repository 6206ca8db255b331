# The payload's parts in C, as assembly that a .S includes. The options are the payload's rules; none of
# the build's own (sanitizers, hardening) may be among them. Directives go: the code stands in the section
# in which it is included, which fills gaps with zeros instead of nops.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/payload)

function(add_payload_c name including)
  set(assembly ${CMAKE_BINARY_DIR}/payload/${name}_x86_64.s)
  list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE headers)
  add_custom_command(
    OUTPUT ${assembly}
    COMMAND ${CMAKE_C_COMPILER} -S -O2 -std=c11 -g0 -masm=intel -Wall -Wextra -Werror -ffreestanding
            -mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -fno-stack-protector
            -fcf-protection=none -fno-asynchronous-unwind-tables -fno-jump-tables -fno-pic
            -fno-tree-loop-distribute-patterns -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/include
            ${CMAKE_SOURCE_DIR}/agent/payload/${name}.c -o ${assembly}.tmp
    COMMAND sed -E "/^[[:space:]]*\\.(text|section|ident|file|globl|type|size|p2align)/d"
            ${assembly}.tmp > ${assembly}
    DEPENDS ${CMAKE_SOURCE_DIR}/agent/payload/${name}.c ${headers}
    COMMENT "payload: ${name}"
    VERBATIM)
  set_source_files_properties(
    ${CMAKE_SOURCE_DIR}/agent/payload/${including}
    PROPERTIES OBJECT_DEPENDS ${assembly} COMPILE_OPTIONS "-Wa,-I${CMAKE_BINARY_DIR}/payload")
endfunction()

add_payload_c(scheduled hook_x86_64.S include/time_chaos/abi/clock_map.h
              include/time_chaos/abi/clock_page.h)
add_payload_c(fake_work fake_x86_64.S agent/payload/fake_call.h
              include/time_chaos/abi/clock_page.h)
