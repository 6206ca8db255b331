# libtime_chaos, as others use it: shared, static, and the files by which CMake and pkg-config find them.
# Only the functions of time_chaos.h are visible in either.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(exports ${CMAKE_SOURCE_DIR}/agent/library/exports.map)
add_library(time_chaos SHARED agent/library/api.cc)
set_target_properties(time_chaos PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE CXX
  LINK_DEPENDS ${exports} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
  INTERFACE_INCLUDE_DIRECTORIES
    "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>;$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
# It stays loaded: a thread may be in its hooks at any time.
target_link_options(time_chaos PRIVATE -Wl,--version-script=${exports} -Wl,--gc-sections
                    -Wl,-z,nodelete)
target_link_libraries(time_chaos PRIVATE tc_library)

# One object of all rooms that are needed, with nothing but the exported names.
set(archive ${CMAKE_BINARY_DIR}/libtime_chaos.a)
set(api tc_message tc_originals tc_install tc_install_map tc_change tc_restore tc_restore_all)
list(TRANSFORM api PREPEND "--undefined=" OUTPUT_VARIABLE wanted)
list(TRANSFORM api PREPEND "--keep-global-symbol=" OUTPUT_VARIABLE kept)
set(rooms "")
foreach(room library vdso payload elf clock tracee targets base)
  list(APPEND rooms $<TARGET_FILE:tc_${room}>)
endforeach()
set(whole ${CMAKE_BINARY_DIR}/payload/time_chaos.o)
add_custom_command(
  OUTPUT ${archive}
  COMMAND ${CMAKE_LINKER} -r --force-group-allocation ${wanted} -o ${whole}
          --start-group ${rooms} --end-group
  COMMAND ${CMAKE_OBJCOPY} ${kept} ${whole}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} rcs ${archive} ${whole}
  DEPENDS ${rooms} COMMENT "libtime_chaos.a" COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(time_chaos_static ALL DEPENDS ${archive})

configure_file(agent/library/time-chaos.pc.in ${CMAKE_BINARY_DIR}/time-chaos.pc @ONLY)
configure_package_config_file(agent/library/time-chaosConfig.cmake.in
  ${CMAKE_BINARY_DIR}/time-chaosConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/time-chaos
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/time-chaosConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)

# OPTIONAL: who has built nothing but the program can install that.
install(TARGETS time_chaos EXPORT time-chaos-targets COMPONENT library OPTIONAL
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library OPTIONAL)
install(FILES include/time_chaos/time_chaos.h include/time_chaos/time_chaos.hpp
              include/time_chaos/fake.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/time_chaos COMPONENT library)
install(EXPORT time-chaos-targets NAMESPACE time_chaos:: COMPONENT library
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/time-chaos)
install(FILES ${CMAKE_BINARY_DIR}/time-chaosConfig.cmake
              ${CMAKE_BINARY_DIR}/time-chaosConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/time-chaos COMPONENT library)
install(FILES ${CMAKE_BINARY_DIR}/time-chaos.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
