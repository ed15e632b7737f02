package riposte

import "time"

// OutcomeKind says what an instance came to.
type OutcomeKind string

const (
	OutcomeDelivered      OutcomeKind = "DELIVERED"
	OutcomeApproved       OutcomeKind = "APPROVED"
	OutcomeDenied         OutcomeKind = "DENIED"
	OutcomeReassigned     OutcomeKind = "REASSIGNED"
	OutcomePolicyReplaced OutcomeKind = "POLICY_REPLACED"
	OutcomeCompleted      OutcomeKind = "COMPLETED"
	OutcomeErrored        OutcomeKind = "ERRORED"
	OutcomeContext        OutcomeKind = "CONTEXT"
	OutcomeFailed         OutcomeKind = "FAILED"
)

// OutcomeKinds lists the closed set.
var OutcomeKinds = []OutcomeKind{OutcomeDelivered, OutcomeApproved, OutcomeDenied, OutcomeReassigned, OutcomePolicyReplaced,
	OutcomeCompleted, OutcomeErrored, OutcomeContext, OutcomeFailed}

// Via says which way an answer came.
type Via string

const (
	ViaNone     Via = "NONE" // nobody answered
	ViaSync     Via = "SYNC"
	ViaCallback Via = "CALLBACK"
	ViaOperator Via = "OPERATOR"
)

// FailureReason says why an outcome is FAILED.
type FailureReason string

const (
	FailureGone              FailureReason = "GONE"
	FailureAttemptsExhausted FailureReason = "ATTEMPTS_EXHAUSTED"
	FailureExpired           FailureReason = "EXPIRED"
	FailureBadResponse       FailureReason = "BAD_RESPONSE"
	FailureCanceled          FailureReason = "CANCELED"
	FailureWebhookDeleted    FailureReason = "WEBHOOK_DELETED"
)

// FailureReasons lists the closed set.
var FailureReasons = []FailureReason{FailureGone, FailureAttemptsExhausted, FailureExpired, FailureBadResponse, FailureCanceled,
	FailureWebhookDeleted}

// Outcome is what an instance came to. There is exactly one; it never changes.
type Outcome struct {
	Kind      OutcomeKind
	Via       Via
	Document  []byte // the answer's exact bytes; nil where there was none
	Comment   string
	Failure   *Failure // for OutcomeFailed
	DecidedAt time.Time
	Sequence  int64 // the outcome's place in the store's order; 0 until it is stored
}

// Failure says why and in which words.
type Failure struct {
	Reason  FailureReason
	Message string
}
