// Package check plays a receiver through its paces and says how it did.
//
// The questions are real ones. A whole server runs on throw-away data; its
// public URL is a front that lets through the key set and the callbacks, and
// keeps a log of both:
//
//	server ── honest deliveries ─────────────────────▶ receiver under test
//	   │                                                ▲      │
//	   └─ deliveries ─▶ catcher ─▶ signed anew ─────────┘      │
//	                               (forged, repeated)          │
//	server ◀── callbacks, key set ── front ◀───────────────────┘
//
// What only a server can judge, whether an answer is a good one, it judges
// itself: such a question goes to the receiver as any other. What no server
// would send starts as a real delivery, too. It goes to a catcher, which answers
// 202, and from there on to the receiver as the check wants it: with a
// signature of nobody's, twice, with another body. Its callback URL is a real
// one, so that whatever a receiver does because of a forged delivery shows.
//
// Each check is a row of a table (table.go): what it does, which collects
// Evidence, and a pure function that judges the evidence. All are judged after
// the last one was played and the receiver has been quiet for a while, because
// a callback may come late.
package check
