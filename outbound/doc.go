// Package outbound makes attempts: it builds and signs the request of
// PROTOCOL.md section 2, sends it through a client that trusts neither the
// destination nor the receiver, and says what came of it as a riposte.Result.
//
// A destination is chosen by a caller and resolved by a DNS server that nobody
// here controls, so it is checked twice. Destinations.Check reads the URL: when
// a webhook is saved, and again before every attempt. The guard reads the
// address that the kernel is about to connect to, after every name, CNAME and
// rebinding trick has been played out. The guard is what keeps requests out of
// private networks; Check is there to tell people early and in clear words.
//
// A receiver may hang, drip, lie about its length or never stop. One deadline
// covers an attempt from the first DNS packet to the last byte of the body, and
// everything that is read has a bound.
//
// Requests go over HTTP/1.1. There an attempt has a connection to itself, and a
// connection on which an attempt timed out is closed with it. Under HTTP/2 all
// attempts to a receiver would share one connection, and one that had gone dead
// would fail them all until TCP noticed.
package outbound
