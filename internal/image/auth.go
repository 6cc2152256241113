// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
)

// Auth is a login to a registry, as CRI's AuthConfig: the first of user name, identity token
// and Auth that is set is used, and RegistryToken instead of all three.
type Auth struct {
	Username, Password string
	Auth               string // base64 of USERNAME:PASSWORD
	IdentityToken      string // OAuth2 refresh token
	RegistryToken      string // bearer token, sent to the image's own registry only
	ServerAddress      string // host or URL for which all this is; "" for every host of the pull
}

func (a *AuthConfig) login() Auth {
	if a == nil {
		return Auth{}
	}
	return Auth{Username: a.Username, Password: a.Password, Auth: a.Auth, IdentityToken: a.IdentityToken}
}

// secret returns what containerd's authorizer wants: an identity token has no user name.
// ErrInvalidArgument. The error does not tell the secret.
func (a Auth) secret() (user, password string, err error) {
	switch {
	case a.Username != "":
		return a.Username, a.Password, nil
	case a.IdentityToken != "":
		return "", a.IdentityToken, nil
	case a.Auth == "":
		return "", "", nil
	}
	decoded, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return "", "", fmt.Errorf("auth is not base64: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	user, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", fmt.Errorf("auth is not base64 of USERNAME:PASSWORD: %w", errdefs.ErrInvalidArgument)
	}
	return user, strings.Trim(password, "\x00"), nil // docker padded it once
}

// check finds mistakes before anything is sent.
func (a Auth) check() error {
	if _, _, err := a.secret(); err != nil {
		return err
	}
	if strings.ContainsAny(a.RegistryToken, "\r\n") {
		return fmt.Errorf("registry token with a line break: %w", errdefs.ErrInvalidArgument)
	}
	_, err := a.server()
	return err
}

// server is the host of ServerAddress, which may be a URL.
func (a Auth) server() (string, error) {
	address := a.ServerAddress
	if address == "" {
		return "", nil
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("server address %q is neither host nor URL: %w", a.ServerAddress, errdefs.ErrInvalidArgument)
	}
	return hubHost(u.Host), nil
}

// hubHost gives Docker Hub's many names one.
func hubHost(host string) string {
	switch host {
	case "docker.io", "index.docker.io":
		return "registry-1.docker.io"
	}
	return host
}

func (a Auth) isFor(host string) bool {
	server, err := a.server()
	return err == nil && (server == "" || server == hubHost(host))
}

// credentials answers containerd's authorizer for a host of a pull with the login auth, or
// else what the configuration has for the host.
func (s *settings) credentials(auth Auth) func(host string) (string, string, error) {
	return func(host string) (string, string, error) {
		login := auth
		if login == (Auth{}) {
			login = s.Registry.Configs[host].Auth.login()
		}
		if !login.isFor(host) {
			return "", "", nil
		}
		return login.secret()
	}
}

// bearer authorizes requests to one host with a token. Where that host redirects to is not
// told the token.
type bearer struct{ host, token string }

func (b bearer) Authorize(_ context.Context, r *http.Request) error {
	if r.URL.Host == b.host {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return nil
}

// AddResponses is called when the registry did not accept the token: there is no other.
func (b bearer) AddResponses(context.Context, []*http.Response) error {
	return fmt.Errorf("registry token not accepted: %w", docker.ErrInvalidAuthorization)
}
