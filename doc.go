// Package riposte is the domain of Riposte: a webhook that asks a question and
// gets an answer.
//
// An approval, a provisioning step or a workflow step (the Source) asks another
// system (the Receiver) over HTTP and waits: a millisecond, or three weeks. Each
// question is an Instance. Riposte keeps it on disk, sends the signed request,
// retries, takes the answer at once or later on a one-time callback URL, and
// hands the Outcome to whoever asked (the Caller).
//
//	         claimed           2xx but 202, or answered
//	PENDING ─────────▶ RUNNING ──────────────────────────▶ PROCESS_RESPONSE
//	                    │ ▲ │                                    ▲    │
//	                    │ │ │ 202                       answered │    │ handed over
//	     any other, or  │ │ └─────▶ WAITING_CALLBACK ────────────┤    ▼
//	     lease ran out  │ │ claimed                              │  SUCCESS, or for a bad
//	                    ▼ │                             answered │  document FATAL_ERROR
//	                   ERROR ────────────────────────────────────┘
//
//	any state before PROCESS_RESPONSE ──▶ FATAL_ERROR:
//	expired, canceled, webhook deleted, 410, attempts exhausted
//
// Answered is an answer that came by callback or from an operator. Where the
// outcome is to be pushed, a failure goes to PROCESS_RESPONSE as well, and the
// instance stays there until somebody has taken it.
// docs/transitions.md has every state with every event; a test writes it.
//
// What always holds:
//
//   - Accepted means durable: an instance, an answer or a cancellation is on disk
//     before anybody is told that it was taken.
//   - An instance comes to exactly one outcome, at the latest shortly after its
//     ExpiresAt. The synchronous answer, callbacks, operators, expiry and
//     cancellation race; the first to be committed wins, the others are told.
//   - Attempts are at least once. All of an instance carry the same id and the
//     same bytes, so that a receiver can act on them once.
//   - A callback URL is used at most once. It works from the first attempt on, and
//     a document that is refused does not use it up.
//
// Every change of an instance is Apply, which is pure, and then a store's
// SaveInstance, which compares the version and swaps. There is no other way to
// write a state, and no store decides one: a Store's Claim asks Due. DueAt says
// when somebody must look next, whatever the reason, so one query and one loop
// serve new instances, retries, lost leases and expiry alike.
//
// The package imports the standard library alone. Read instance.go first, then
// transition.go, then store.go.
package riposte
