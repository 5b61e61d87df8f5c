#include "dataplane/discovery/stream.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::discovery_client {

Stream::Stream(std::shared_ptr<grpc::Channel> channel, uint64_t id,
               std::shared_ptr<EventQueue> events)
    : channel_(std::move(channel)),
      stub_(discovery::v1::DiscoveryService::NewStub(channel_)),
      id_(id),
      events_(std::move(events)) {}

std::unique_ptr<Stream> Stream::Open(std::shared_ptr<grpc::Channel> channel, uint64_t id,
                                     std::shared_ptr<EventQueue> events) {
  // owned: by the unique_ptr; the constructor is private.
  std::unique_ptr<Stream> stream(new Stream(std::move(channel), id, std::move(events)));
  stream->stub_->async()->Stream(&stream->context_, stream.get());
  // Reads and writes are started from outside of the callbacks: the hold keeps OnDone
  // away until Release().
  stream->AddHold();
  stream->StartRead(&stream->incoming_);
  stream->StartCall();
  return stream;
}

void Stream::Write(discovery::v1::ProxyMessage message) {
  outgoing_ = std::move(message);
  StartWrite(&outgoing_);
}

void Stream::OnReadDone(bool ok) {
  Event event;
  event.kind = Event::Kind::kRead;
  event.stream = id_;
  event.ok = ok;
  if (ok) event.message = std::move(incoming_);
  events_->Push(std::move(event));
}

void Stream::OnWriteDone(bool ok) {
  Event event;
  event.kind = Event::Kind::kWritten;
  event.stream = id_;
  event.ok = ok;
  events_->Push(std::move(event));
}

void Stream::OnDone(const grpc::Status& status) {
  Event event;
  event.kind = Event::Kind::kEnded;
  event.stream = id_;
  if (!status.ok()) {
    event.error = absl::StrCat(status.error_message(), " (gRPC status ",
                               static_cast<int>(status.error_code()), ")");
  }
  // The owner may destroy this as soon as it has the event.
  const std::shared_ptr<EventQueue> events = events_;
  events->Push(std::move(event));
}

}  // namespace portico::discovery_client
