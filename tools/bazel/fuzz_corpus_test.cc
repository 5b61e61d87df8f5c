// Feeds every file of a corpus to a fuzz target: one test case for the files, one for the empty
// input. The only argument is the folder.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::string& CorpusFolder() {
  static std::string folder;
  return folder;
}

void RunOneInput(const std::string& input) {
  EXPECT_GE(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size()),
            -1);
}

TEST(FuzzCorpus, EveryFilePasses) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(CorpusFolder())) {
    if (!entry.is_regular_file()) {
      continue;
    }
    SCOPED_TRACE(entry.path().string());
    std::ifstream stream(entry.path(), std::ios::binary);
    RunOneInput(std::string(std::istreambuf_iterator<char>(stream), {}));
    ++files;
  }
  EXPECT_GT(files, 0) << "the corpus " << CorpusFolder() << " is empty";
}

TEST(FuzzCorpus, EmptyInputPasses) { RunOneInput(""); }

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  CorpusFolder() = argc > 1 ? argv[1] : ".";
  return RUN_ALL_TESTS();
}
