// Package console is the web console: pages for people over the API, of which it is
// a client like any other, with the API key of whoever has signed in.
//
// A request passes the safety rules (guard.go), then finds whose session it belongs
// to (session.go), and then its screen: a method of visit in the file of its noun
// (webhook.go, instance.go, …) that asks the API and shows a page of that name in
// template/. What a screen decides is in small pure functions, such as why an
// attempt failed and what to do about it (hint.go).
//
// Pages are whole without JavaScript. With it, console.js asks for the same page again
// every few seconds and puts in the parts that have changed. Whatever came from outside
// is text: html/template escapes it, and visible (text.go) shows what would otherwise
// act on the reader, such as a change of the writing direction.
package console
