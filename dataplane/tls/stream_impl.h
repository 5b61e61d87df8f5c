#ifndef DATAPLANE_TLS_STREAM_IMPL_H_
#define DATAPLANE_TLS_STREAM_IMPL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/base/buffer.h"
#include "dataplane/event/operation.h"
#include "dataplane/tls/connection.h"
#include "dataplane/tls/tls_stream.h"

namespace portico::tls {

class StreamImpl final : public TlsStream {
 public:
  StreamImpl(event::Loop& loop, std::unique_ptr<net::ByteStream> transport,
             std::shared_ptr<const void> context, std::unique_ptr<Connection> connection,
             base::BufferPool& pool, std::string_view received);
  ~StreamImpl() override;

  event::Task<absl::Status> Handshake(event::CancelScope& scope) override;
  const net::TlsInfo& info() const override { return info_; }
  std::string_view failure() const override { return failure_; }

  void StartReceive(event::ReceiveOperation& op) override;
  void StartSend(event::SendOperation& op) override;
  void StartHangUpWatch(event::HangUpOperation& op) override { transport_->StartHangUpWatch(op); }
  void Cancel(event::Operation& op) override;
  void ShutdownWrite() override;
  void Abort() override;
  net::SocketAddress peer() const override { return transport_->peer(); }
  net::SocketAddress local() const override { return transport_->local(); }
  bool HasUnread() const override;
  uint64_t made() const override { return transport_->made(); }

 private:
  // What Deliver() says when there is nothing to deliver.
  static constexpr int32_t kNothingYet = INT32_MIN;

  // Notes why, for failure(), and hands `status` on.
  absl::Status Failed(absl::Status status, std::string_view failure);
  // Waits until the peer has read an alert, as far as one can know.
  event::Task<void> Linger(event::CancelScope& scope);

  // Decrypts into the receive's buffer what is there: bytes, 0 at the end, -errno, or kNothingYet.
  int32_t Deliver(event::ReceiveOperation& op);
  // What is there, if not more than one receive is to take.
  size_t Expected(const event::ReceiveOperation& op) const;
  void DropIn();
  void ReceiveMore();
  static void OnReceived(event::Operation& op);

  // Encrypts what comes next of the send, and sends it. False: BoringSSL refuses.
  bool SealNext();
  bool FillOut();
  // The next `size` bytes of the send, as one record.
  bool SealOne(size_t size);
  static void OnSent(event::Operation& op);
  // Sends what BoringSSL has to say beside the bytes, as far as the kernel takes it at once.
  void SendOutput();
  // Announces our end, once.
  void Close();

  // Constant after construction.
  event::Loop& loop_;
  const std::unique_ptr<net::ByteStream> transport_;
  const std::shared_ptr<const void> context_;  // Kept alive.
  base::BufferPool& pool_;
  const std::unique_ptr<Connection> connection_;

  std::string_view failure_;
  net::TlsInfo info_;
  bool established_ = false;

  // Receiving.
  base::Buffer in_;  // What came from the peer, read up to in_at_.
  size_t in_at_ = 0;
  event::ReceiveOperation rx_;
  event::ReceiveOperation* receive_ = nullptr;
  bool receive_cancelled_ = false;
  bool ended_ = false;  // The peer said so.
  int error_ = 0;       // errno of what ended it otherwise.

  // Sending.
  base::Buffer out_;
  event::SendOperation tx_;
  event::SendOperation* send_ = nullptr;
  size_t send_left_ = 0;
  bool shutdown_wanted_ = false;
  bool write_closed_ = false;
  bool write_failed_ = false;
  bool aborted_ = false;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_STREAM_IMPL_H_
