option(BUILD_TESTING "Build the testing tree" ON)

# Copies scripts (".py" added where there is no extension) and resources into the build tree's module folder, and installs
# that folder as a whole: the same two steps as in Slicer, where the second takes along whatever lies in the folder.
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): \"${MODULE_UNPARSED_ARGUMENTS}\"")
  endif()
  if(NOT DEFINED MODULE_NAME)
    message(FATAL_ERROR "NAME is mandatory")
  endif()
  set(module_folder "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(module_outputs)
  foreach(file IN LISTS MODULE_SCRIPTS MODULE_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}" AND EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}.py")
      set(file "${file}.py")
    endif()
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule given nonexistent file or directory '${file}'")
    endif()
    add_custom_command(
      OUTPUT "${module_folder}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${CMAKE_CURRENT_SOURCE_DIR}/${file}" "${module_folder}/${file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
      VERBATIM
      )
    list(APPEND module_outputs "${module_folder}/${file}")
  endforeach()
  add_custom_target(${MODULE_NAME} ALL DEPENDS ${module_outputs})
  install(DIRECTORY "${module_folder}/"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}" COMPONENT RuntimeLibraries USE_SOURCE_PERMISSIONS)
endmacro()

# In Slicer: a test that starts Slicer and runs the module's self-test. Here only its file is looked for.
macro(slicer_add_python_unittest)
  cmake_parse_arguments(UNITTEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${UNITTEST_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest given nonexistent file '${UNITTEST_SCRIPT}'")
  endif()
endmacro()
