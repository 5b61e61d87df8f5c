// The service behind the proxy in tests of gRPC.
#ifndef TESTS_INTEGRATION_GRPC_TALK_SERVICE_H_
#define TESTS_INTEGRATION_GRPC_TALK_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "tests/integration/grpc/talk.grpc.pb.h"

namespace portico::test {

// Sends back "x-echo" as "x-echoed" ahead of the response and "x-ended-bin" behind it, and in
// "x-left-ms" how much time the client gave.
class TalkService final : public Talk::Service {
 public:
  grpc::Status Say(grpc::ServerContext* context, const Message* request,
                   Message* response) override;
  grpc::Status Collect(grpc::ServerContext* context, grpc::ServerReader<Message>* reader,
                       Message* response) override;
  grpc::Status Expand(grpc::ServerContext* context, const Message* request,
                      grpc::ServerWriter<Message>* writer) override;
  grpc::Status Converse(grpc::ServerContext* context,
                        grpc::ServerReaderWriter<Message, Message>* stream) override;

 private:
  // Waits until the client is gone, or its time is.
  grpc::Status Hang(grpc::ServerContext* context);

  std::atomic<int> cancelled_{0};
};

}  // namespace portico::test

#endif  // TESTS_INTEGRATION_GRPC_TALK_SERVICE_H_
