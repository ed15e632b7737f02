// Package browser drives Riposte's console in a real Chromium, for the tests of
// the console and for its screenshots. It is a module of its own, so that the
// product does not depend on what drives a browser.
//
// A Browser is one Chromium process. Each Tab has cookies of its own and stands
// for one person: it finds what they find, by the role and the name that a
// screen reader says ("button", "Sign in"), clicks where they'd click, and types
// on a keyboard. What does not come at once is waited for, by looking again until
// a deadline; nothing sleeps for a fixed time.
//
// A Tab keeps a list of faults, things that must not happen on any page: a dialog
// opens, a script throws, the console shows an error, the content security policy
// blocks something, a request fails or goes to another server. When its test ends,
// a tab that has any fails it.
//
// The policy stays in force: what the package looks at a page with runs in a world
// of its own, beside the page's scripts.
package browser
