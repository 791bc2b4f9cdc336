# Slicer stops here when a piece of the extension's description is missing.
foreach(name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/description.txt" "${PROJECT_NAME}\n${EXTENSION_CATEGORY}\n${EXTENSION_DEPENDS}\n")
