// Package client asks questions of a Riposte server and takes what comes of them.
//
// Two lines ask one and wait for what it comes to, a millisecond or three weeks:
//
//	c, err := client.New("https://riposte.example.com", client.WithAPIKey(key))
//	outcome, err := c.Ask(ctx, webhookID, client.ApprovalStep("TICKET-1"), payload)
//
// There are three ways to take outcomes:
//
//   - [Client.Ask] waits for the outcome of the one question that it asks. Give it
//     [WithRequestID], and a process that died asks again and finds the same
//     instance.
//   - [Client.Consume] hands the outcomes of all questions to a function, under a
//     name that the server keeps a place for. Any number of workers share a name.
//   - [Client.Watch] streams the outcomes after a cursor that the caller keeps.
//
// A server with an outcome URL calls instead: package receiver verifies what comes,
// and [ParseOutcome] reads it.
//
// What holds:
//
//   - A server that dies, restarts, can't be reached or can't take anything now is
//     waited for. A call returns when it has succeeded, when its context ends, or
//     with an [*Error] that no repetition cures. What a call was waiting for is part
//     of the error when its context ends first.
//   - An instance is created once for a request id, however often the call is
//     repeated and whoever repeats it.
//   - An instance comes to exactly one outcome, which never changes.
//   - Ask gives the outcome to each who asks with the request id. Consume gives each
//     outcome at least once: [Outcome.InstanceID] tells a repetition. Watch gives each
//     after the cursor once, in one order that never changes, so that whoever stores
//     [Outcome.Cursor] in the transaction of what he does about the outcome has it
//     exactly once.
//   - An outcome of kind [Failed] is an outcome and no error: there will be no answer,
//     and [Outcome.Failure] says why.
//
// Calls are repeated with exponential backoff and full jitter, from 100 ms to 5 s, or
// later where the server says so (Retry-After or google.rpc.RetryInfo, up to a
// minute). UNAVAILABLE is repeated, a connection that is refused or breaks off among
// it, and DEADLINE_EXCEEDED, which leaves open whether there was a commit: every call
// of this package can be repeated without harm. So is RESOURCE_EXHAUSTED for the reason
// RATE_LIMITED, of a key that calls more often than it may. No other error is.
package client
