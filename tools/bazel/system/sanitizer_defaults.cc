// Part of every sanitized binary that links gRPC: what Debian's libraries do and we cannot change.

#ifdef PORTICO_SANITIZED

// c-ares keeps its system configuration until the process ends.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcares.so\n"; }

// The libraries are not instrumented, so their own synchronisation is invisible to ThreadSanitizer.
extern "C" const char* __tsan_default_suppressions() {
  return "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libgpr.so\n"
         "race:libupb.so\n"
         "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libabsl_synchronization.so\n"
         "mutex:libgrpc.so\n"
         "deadlock:libgrpc.so\n";
}

#endif  // PORTICO_SANITIZED
