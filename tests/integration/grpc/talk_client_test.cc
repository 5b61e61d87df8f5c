// A gRPC client that goes through the proxy: talk_client_test --target=HOST:PORT. Started by
// grpc_test.py, which starts what is behind it.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/grpc/talk.grpc.pb.h"

namespace portico::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string target, authority, ca_file;

std::shared_ptr<grpc::ChannelCredentials> Credentials() {
  if (ca_file.empty()) return grpc::InsecureChannelCredentials();
  std::ifstream file(ca_file);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
  return grpc::SslCredentials(options);
}

class TalkTest : public testing::Test {
 protected:
  TalkTest() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    if (!authority.empty()) arguments.SetSslTargetNameOverride(authority);
    channel_ = grpc::CreateCustomChannel(target, Credentials(), arguments);
    stub_ = Talk::NewStub(channel_);
  }

  std::unique_ptr<grpc::ClientContext> Context(int within_ms = 60'000) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + milliseconds(within_ms));
    return context;
  }

  int Cancelled() {
    Message request, response;
    request.set_tell_cancelled(true);
    const auto context = Context();
    EXPECT_TRUE(stub_->Say(context.get(), request, &response).ok());
    return response.count();
  }
  // The service sees it soon.
  void ExpectCancelled(int count) {
    const auto end = std::chrono::steady_clock::now() + seconds(10);
    while (Cancelled() < count && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    EXPECT_EQ(Cancelled(), count);
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Talk::Stub> stub_;
};

std::string Metadata(const std::multimap<grpc::string_ref, grpc::string_ref>& all,
                     const char* name) {
  const auto found = all.find(name);
  return found == all.end() ? "(none)" : std::string(found->second.data(), found->second.size());
}

std::string Random(size_t size) {
  std::mt19937 generator(7);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(generator());
  return out;
}

TEST_F(TalkTest, Unary) {
  Message request, response;
  request.set_payload("hello");
  const auto context = Context(30'000);
  context->AddMetadata("x-echo", "there");
  const grpc::Status status = stub_->Say(context.get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.payload(), "hello");
  EXPECT_EQ(Metadata(context->GetServerInitialMetadata(), "x-echoed"), "there");
  EXPECT_EQ(Metadata(context->GetServerTrailingMetadata(), "x-ended-bin"),
            std::string("\0\xff", 2));
  // The service knows how much time there is.
  const int left = std::stoi(Metadata(context->GetServerTrailingMetadata(), "x-left-ms"));
  EXPECT_GT(left, 20'000);
  EXPECT_LE(left, 30'000);
}

TEST_F(TalkTest, ErrorsKeepTheirDetails) {
  for (int code = 1; code <= 16; ++code) {
    Message request, response;
    request.set_fail_with(code);
    request.set_fail_message("50% of \xc3\xa4\n");
    request.set_payload(std::string("\0details\xff", 9));
    const auto context = Context();
    const grpc::Status status = stub_->Say(context.get(), request, &response);
    EXPECT_EQ(static_cast<int>(status.error_code()), code);
    EXPECT_EQ(status.error_message(), "50% of \xc3\xa4\n");
    EXPECT_EQ(status.error_details(), request.payload());
  }
}

TEST_F(TalkTest, LargeMessages) {
  Message request, response;
  request.set_payload(Random(10 << 20));
  for (int i = 0; i < 3; ++i) {
    const auto context = Context();
    const grpc::Status status = stub_->Say(context.get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(response.payload() == request.payload());
  }
  const auto context = Context();
  const auto stream = stub_->Converse(context.get());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_TRUE(response.payload() == request.payload());
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(TalkTest, Compressed) {
  Message request, response;
  request.set_payload(std::string(100'000, 'x'));
  const auto context = Context();
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  ASSERT_TRUE(stub_->Say(context.get(), request, &response).ok());
  EXPECT_EQ(response.payload(), request.payload());
}

TEST_F(TalkTest, ClientStreaming) {
  Message message, response;
  const auto context = Context();
  const auto writer = stub_->Collect(context.get(), &response);
  for (int i = 0; i < 2000; ++i) {
    message.set_payload(std::to_string(i) + std::string(1000, 'x'));
    ASSERT_TRUE(writer->Write(message));
  }
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(response.count(), 2000);
  EXPECT_EQ(response.payload(), message.payload());
}

TEST_F(TalkTest, ServerStreaming) {
  Message request, message;
  request.set_count(2000);
  request.set_payload(std::string(1000, 'y'));
  const auto context = Context();
  const auto reader = stub_->Expand(context.get(), request);
  int count = 0;
  while (reader->Read(&message)) EXPECT_EQ(message.count(), count++);
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(count, 2000);
}

TEST_F(TalkTest, AServerThatFailsAfterMessages) {
  Message request, message;
  request.set_count(3);
  request.set_fail_with(grpc::ABORTED);
  request.set_fail_message("enough");
  const auto context = Context();
  const auto reader = stub_->Expand(context.get(), request);
  int count = 0;
  while (reader->Read(&message)) ++count;
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  EXPECT_EQ(status.error_message(), "enough");
  EXPECT_EQ(count, 3);
}

TEST_F(TalkTest, MessagesPassWhenTheyCome) {
  const auto context = Context();
  context->AddMetadata("x-echo", "first");
  const auto stream = stub_->Converse(context.get());
  // The head of the response is here before a message of the request was sent.
  stream->WaitForInitialMetadata();
  EXPECT_EQ(Metadata(context->GetServerInitialMetadata(), "x-echoed"), "first");
  Message message, answer;
  // Each is answered before the next is sent.
  for (int i = 0; i < 500; ++i) {
    message.set_count(i);
    ASSERT_TRUE(stream->Write(message));
    ASSERT_TRUE(stream->Read(&answer));
    EXPECT_EQ(answer.count(), i);
  }
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(TalkTest, AClientThatHasSaidAllStillListens) {
  const auto context = Context();
  const auto stream = stub_->Converse(context.get());
  Message message, answer;
  message.set_more_at_end(20);
  message.set_pause_ms(20);
  ASSERT_TRUE(stream->Write(message));
  stream->WritesDone();
  int count = 0;
  while (stream->Read(&answer)) ++count;
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(count, 21);
}

TEST_F(TalkTest, ManyStreamsAtOnce) {
  constexpr int kStreams = 100, kMessages = 50;
  std::atomic<int> open{0}, good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kStreams; ++i) {
    threads.emplace_back([&, i] {
      const auto context = Context();
      const auto stream = stub_->Converse(context.get());
      ++open;
      // All are open before the first ends.
      const auto end = std::chrono::steady_clock::now() + seconds(30);
      while (open < kStreams && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(milliseconds(1));
      }
      Message message, answer;
      bool right = true;
      for (int k = 0; k < kMessages && right; ++k) {
        message.set_count(i * 1000 + k);
        message.set_payload(std::string(static_cast<size_t>(k * 97), 'z'));
        right = stream->Write(message) && stream->Read(&answer) &&
                answer.count() == message.count() && answer.payload() == message.payload();
      }
      stream->WritesDone();
      const grpc::Status status = stream->Finish();
      good += right && status.ok();
      if (!status.ok()) ADD_FAILURE() << status.error_message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kStreams);
}

TEST_F(TalkTest, Deadlines) {
  const int before = Cancelled();
  Message request, response;
  request.set_hang(true);
  const auto start = std::chrono::steady_clock::now();
  const auto context = Context(300);
  EXPECT_EQ(stub_->Say(context.get(), request, &response).error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  ExpectCancelled(before + 1);
}

TEST_F(TalkTest, Cancellation) {
  const int before = Cancelled();
  {
    const auto context = Context();
    const auto stream = stub_->Converse(context.get());
    Message message, answer;
    message.set_hang(true);
    ASSERT_TRUE(stream->Write(message));
    ASSERT_TRUE(stream->Read(&answer));
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
  }
  ExpectCancelled(before + 1);
  {
    const auto context = Context();
    Message request, message;
    request.set_count(1);
    request.set_hang(true);
    const auto reader = stub_->Expand(context.get(), request);
    ASSERT_TRUE(reader->Read(&message));
    context->TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  }
  ExpectCancelled(before + 2);
}

// Calls a method with a message that is given as bytes.
grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                  const std::string& request, std::string& response) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(20));
  grpc::CompletionQueue queue;
  const grpc::Slice slice(request);
  const grpc::ByteBuffer bytes(&slice, 1);
  grpc::ByteBuffer answer;
  grpc::Status status;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  // A call of any kind is a stream of messages.
  const auto stream = stub.PrepareCall(&context, method, &queue);
  stream->StartCall(nullptr);
  if (wait()) {
    stream->WriteLast(bytes, grpc::WriteOptions(), nullptr);
    if (wait()) {
      stream->Read(&answer, nullptr);
      if (wait()) {
        std::vector<grpc::Slice> slices;
        EXPECT_TRUE(answer.Dump(&slices).ok());
        for (const grpc::Slice& piece : slices) {
          response.append(reinterpret_cast<const char*>(piece.begin()), piece.size());
        }
      }
    }
  }
  stream->Finish(&status, nullptr);
  wait();
  return status;
}

TEST_F(TalkTest, Health) {
  std::string response;
  const grpc::Status status = Call(channel_, "/grpc.health.v1.Health/Check", "", response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response, "\x08\x01");  // SERVING
}

TEST_F(TalkTest, Reflection) {
  std::string response;
  const grpc::Status status =
      Call(channel_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
           std::string("\x3a\x00", 2), response);  // list_services
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_NE(response.find("portico.test.Talk"), std::string::npos);
  EXPECT_NE(response.find("grpc.health.v1.Health"), std::string::npos);
}

TEST_F(TalkTest, TheProxysOwnErrors) {
  struct Case {
    const char* method;
    grpc::StatusCode code;
    const char* message;
  };
  for (const Case& c : {
           Case{"/nowhere.Service/Method", grpc::UNIMPLEMENTED, "no_route: "},
           {"/gone.Service/Method", grpc::UNAVAILABLE, "upstream_connect_failed: "},
           {"/locked.Service/Method", grpc::UNAUTHENTICATED, "credentials_missing: "},
       }) {
    std::string response;
    const grpc::Status status = Call(channel_, c.method, "", response);
    EXPECT_EQ(status.error_code(), c.code) << c.method;
    EXPECT_EQ(status.error_message().substr(0, std::strlen(c.message)), c.message);
  }
}

TEST_F(TalkTest, TheRoutesTimeout) {
  // "/short.Talk/..." is rewritten; its route gives 500 ms.
  std::string response;
  Message request;
  request.set_hang(true);
  const grpc::Status status =
      Call(channel_, "/short/portico.test.Talk/Say", request.SerializeAsString(), response);
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message().substr(0, 18), "upstream_timeout: ");
  // In the middle of a response: what came is not taken for all.
  request.set_count(1);
  response.clear();
  const grpc::Status later =
      Call(channel_, "/short/portico.test.Talk/Expand", request.SerializeAsString(), response);
  EXPECT_EQ(later.error_code(), grpc::DEADLINE_EXCEEDED) << later.error_message();
}

}  // namespace
}  // namespace portico::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&](const char* name, std::string& out) {
      if (argument.rfind(name, 0) == 0) out = argument.substr(std::strlen(name));
    };
    value("--target=", portico::test::target);
    value("--authority=", portico::test::authority);
    value("--ca=", portico::test::ca_file);
  }
  return RUN_ALL_TESTS();
}
