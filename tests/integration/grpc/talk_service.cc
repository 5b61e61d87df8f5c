#include "tests/integration/grpc/talk_service.h"

#include <chrono>
#include <string>
#include <thread>

namespace portico::test {
namespace {

using std::chrono::milliseconds;

void EchoMetadata(grpc::ServerContext& context) {
  const auto found = context.client_metadata().find("x-echo");
  if (found != context.client_metadata().end()) {
    context.AddInitialMetadata("x-echoed", {found->second.data(), found->second.size()});
  }
  context.AddTrailingMetadata("x-ended-bin", std::string("\0\xff", 2));
  const auto left = context.deadline() - std::chrono::system_clock::now();
  context.AddTrailingMetadata(
      "x-left-ms", std::to_string(std::chrono::duration_cast<milliseconds>(left).count()));
}

grpc::Status StatusOf(const Message& message) {
  if (message.fail_with() == 0) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(message.fail_with()), message.fail_message(),
          message.payload()};
}

void Pause(const Message& message) {
  if (message.pause_ms() > 0) std::this_thread::sleep_for(milliseconds(message.pause_ms()));
}

}  // namespace

grpc::Status TalkService::Hang(grpc::ServerContext* context) {
  while (!context->IsCancelled()) std::this_thread::sleep_for(milliseconds(2));
  ++cancelled_;
  return grpc::Status::CANCELLED;
}

grpc::Status TalkService::Say(grpc::ServerContext* context, const Message* request,
                              Message* response) {
  EchoMetadata(*context);
  if (request->hang()) return Hang(context);
  Pause(*request);
  if (request->tell_cancelled()) response->set_count(cancelled_);
  response->set_payload(request->payload());
  return StatusOf(*request);
}

grpc::Status TalkService::Collect(grpc::ServerContext* context, grpc::ServerReader<Message>* reader,
                                  Message* response) {
  EchoMetadata(*context);
  Message message;
  int count = 0;
  while (reader->Read(&message)) ++count;
  response->set_count(count);
  response->set_payload(message.payload());
  return StatusOf(message);
}

grpc::Status TalkService::Expand(grpc::ServerContext* context, const Message* request,
                                 grpc::ServerWriter<Message>* writer) {
  EchoMetadata(*context);
  Message message;
  message.set_payload(request->payload());
  for (int i = 0; i < request->count(); ++i) {
    Pause(*request);
    message.set_count(i);
    if (!writer->Write(message)) break;
  }
  if (request->hang()) return Hang(context);
  return StatusOf(*request);
}

grpc::Status TalkService::Converse(grpc::ServerContext* context,
                                   grpc::ServerReaderWriter<Message, Message>* stream) {
  EchoMetadata(*context);
  // The server speaks first.
  stream->SendInitialMetadata();
  Message message;
  while (stream->Read(&message)) {
    Pause(message);
    if (!stream->Write(message)) break;
    if (message.hang()) return Hang(context);
  }
  for (int i = 0; i < message.more_at_end(); ++i) {
    Pause(message);
    if (!stream->Write(message)) break;
  }
  return StatusOf(message);
}

}  // namespace portico::test
