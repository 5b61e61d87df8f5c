#ifndef DATAPLANE_TLS_STREAM_IMPL_H_
#define DATAPLANE_TLS_STREAM_IMPL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/base/buffer.h"
#include "dataplane/event/operation.h"
#include "dataplane/tls/handshake.h"
#include "dataplane/tls/record.h"
#include "dataplane/tls/tls_stream.h"

namespace portico::tls {

class StreamImpl final : public TlsStream {
 public:
  StreamImpl(event::Loop& loop, std::unique_ptr<net::ByteStream> transport,
             std::shared_ptr<const void> context, std::unique_ptr<Handshaker> handshake,
             base::BufferPool& pool, std::string_view received, bool server);
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
  // One record, of which `size` bytes lie at the front. False: nothing more is to be opened.
  bool OpenRecord(event::ReceiveOperation& op, size_t size, size_t& delivered);
  void TakePlain(event::ReceiveOperation& op, size_t& delivered);
  void OnAlert(std::string_view alert);
  void OnHandshakeBytes(std::string_view bytes);
  void OnHandshakeMessage(std::string_view message, bool last);
  // Reading is over: tells the peer why, unless `alert` is 0.
  void Fail(int error, uint8_t alert);
  void DropIn();
  void ReceiveMore();
  static void OnReceived(event::Operation& op);

  // Encrypts what comes next of the send, and sends it. False: BoringSSL refuses.
  bool SealNext();
  bool FillOut();
  bool SealOne(size_t size);
  bool UpdateKeys();
  static void OnSent(event::Operation& op);
  void SendAlert(uint8_t level, uint8_t description);
  void CloseWrite();

  // Constant after construction.
  event::Loop& loop_;
  const std::unique_ptr<net::ByteStream> transport_;
  const std::shared_ptr<const void> context_;  // Kept alive.
  base::BufferPool& pool_;
  const bool server_;

  // During the handshake; a client that may get tickets has it longer.
  std::unique_ptr<Handshaker> handshake_;
  std::string_view failure_;
  net::TlsInfo info_;
  bool established_ = false;

  // Receiving.
  RecordKeys read_;
  base::Buffer in_;  // What came from the peer, read up to in_at_.
  size_t in_at_ = 0;
  // Of it, decrypted in place: what did not fit into the receive's buffer, and where the records
  // go on behind it.
  size_t plain_at_ = 0;
  size_t plain_size_ = 0;
  event::ReceiveOperation rx_;
  event::ReceiveOperation* receive_ = nullptr;
  bool receive_cancelled_ = false;
  bool ended_ = false;  // The peer said so.
  int error_ = 0;       // errno of what ended it otherwise.
  bool wide_ = false;   // Records come that are larger than a small buffer.
  // Records without application data since the last one with some.
  uint8_t empty_records_ = 0;
  std::string message_;  // A handshake message that is not whole.

  // Sending.
  RecordKeys write_;
  base::Buffer out_;
  std::string before_;  // Goes before anything else: a server's tickets.
  event::SendOperation tx_;
  event::SendOperation* send_ = nullptr;
  size_t send_left_ = 0;
  bool update_keys_ = false;
  bool shutdown_wanted_ = false;
  bool write_closed_ = false;
  bool write_failed_ = false;
  bool aborted_ = false;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_STREAM_IMPL_H_
