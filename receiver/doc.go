// Package receiver is what an endpoint in Go needs to be asked by Riposte, or by
// any sender of ConductorOne's webhook contract: the check of what comes in, the
// documents that are answers, and the call back with one of them.
//
//	v, err := receiver.NewVerifier("https://riposte.example.com", "https://example.com/hook")
//
//	http.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
//		d, err := v.Verify(r)
//		if err != nil {
//			receiver.Refuse(w, err)
//			return
//		}
//		// d.InstanceID is the same on every attempt: act on it once.
//		receiver.Respond(w, receiver.Approve("fine by me"))
//	})
//
// Who doesn't know the answer yet keeps d.CallbackURL, answers 202 with
// [Later], and posts the document with [CallBack] when it is known, within the
// time that the instance has (8 days, unless its webhook says otherwise).
//
// What holds:
//
//   - A delivery that Verify returns was sent by the server whose keys the
//     verifier has, to this URL, with this body, and within the last minutes.
//   - A JWT is taken once by a verifier. An attempt that is repeated by the
//     sender carries a new one, so nothing honest is refused; whoever recorded
//     a request can't send it again. See [AllowReplays].
//   - An instance is asked at least once: the sender can't know whether an
//     answer that got lost was acted on. Delivery.InstanceID tells a repetition.
//   - A pushed outcome verifies as a delivery does, with OutcomeEvent as its event.
//   - CallBack returns nil only when the document counted.
//
// The contract's rules that are quoted here are in PROTOCOL.md's sections 2 to 5.
package receiver
