#include "dataplane/event/operation.h"

#include "dataplane/base/check.h"

namespace portico::event {

Operation::~Operation() { PORTICO_CHECK(!pending_); }

void OperationAccess::Begin(Operation& op, Operation::Kind kind) {
  PORTICO_CHECK(!op.pending_ && op.on_complete != nullptr);
  op.pending_ = true;
  op.cancel_wanted_ = false;
  op.kind_ = kind;
  op.engine_state_ = 0;
  op.result_ = 0;
}

void OperationAccess::Complete(Operation& op, int32_t result) {
  PORTICO_CHECK(op.pending_);
  op.pending_ = false;
  op.result_ = result;
  op.on_complete(op);
}

void OperationList::PushBack(Operation& op) {
  OperationAccess::next(op) = nullptr;
  OperationAccess::previous(op) = tail_;
  (tail_ == nullptr ? head_ : OperationAccess::next(*tail_)) = &op;
  tail_ = &op;
}

void OperationList::Remove(Operation& op) {
  Operation* next = OperationAccess::next(op);
  Operation* previous = OperationAccess::previous(op);
  (previous == nullptr ? head_ : OperationAccess::next(*previous)) = next;
  (next == nullptr ? tail_ : OperationAccess::previous(*next)) = previous;
  OperationAccess::next(op) = nullptr;
  OperationAccess::previous(op) = nullptr;
}

Operation* OperationList::PopFront() {
  Operation* op = head_;
  if (op != nullptr) Remove(*op);
  return op;
}

}  // namespace portico::event
