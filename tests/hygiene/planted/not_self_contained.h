#ifndef PORTICO_TESTS_HYGIENE_PLANTED_NOT_SELF_CONTAINED_H_
#define PORTICO_TESTS_HYGIENE_PLANTED_NOT_SELF_CONTAINED_H_

namespace portico::hygiene {

// <string> is missing.
inline std::string Name() { return "planted"; }

}  // namespace portico::hygiene

#endif  // PORTICO_TESTS_HYGIENE_PLANTED_NOT_SELF_CONTAINED_H_
