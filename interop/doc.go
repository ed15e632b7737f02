// Package interop has programs of others call a whole server over TLS, as
// ConductorOne's clients do: by a client id and a secret in their environment, and a
// certificate authority that the environment names. It is a module of its own, so that
// the product does not depend on them.
//
// ConductorOne's own clients can't be had by the registries that this is built with: the
// Go module proxy refuses them, and the TypeScript SDK was never published to npm. So the
// programs here ask for tokens as those do, with the libraries that those use (go-jose,
// x/oauth2, npm's jose), and demand of the answers what those demand. Beside them stand
// OAuth clients that know nothing of ConductorOne (x/oauth2/clientcredentials,
// openid-client). docs/clients.md says what of it is ConductorOne's.
package interop
