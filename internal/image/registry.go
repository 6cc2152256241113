// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/pkg/imageverifier"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// resolver returns what asks the registry of domain, or its mirrors, on behalf of one pull.
// instrument is given every HTTP client.
func (s *settings) resolver(ctx context.Context, domain string, auth Auth, instrument config.UpdateClientFunc) remotes.Resolver {
	hosts := s.hosts(ctx, auth, instrument)
	if auth.RegistryToken != "" {
		hosts = withToken(hosts, domain, auth)
	}
	return docker.NewResolver(docker.ResolverOptions{Headers: http.Header(s.Registry.Headers).Clone(), Hosts: hosts})
}

// hosts returns where an image's registry is reached: by certs.d directories, or by the
// old mirrors section.
func (s *settings) hosts(ctx context.Context, auth Auth, instrument config.UpdateClientFunc) docker.RegistryHosts {
	credentials := s.credentials(auth)
	headers := docker.WithAuthHeader(http.Header(s.Registry.Headers).Clone())
	if len(s.Registry.Mirrors) == 0 {
		return config.ConfigureHosts(ctx, config.HostOptions{
			HostDir:        hostDir(filepath.SplitList(s.Registry.ConfigPath)),
			Credentials:    credentials,
			UpdateClient:   instrument,
			AuthorizerOpts: []docker.AuthorizerOpt{headers},
		})
	}
	return func(host string) ([]docker.RegistryHost, error) {
		endpoints, err := s.endpoints(host)
		if err != nil {
			return nil, err
		}
		client := &http.Client{Transport: docker.DefaultHTTPTransport(nil)}
		if err := instrument(client); err != nil {
			return nil, err
		}
		authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(credentials), headers)
		hosts := make([]docker.RegistryHost, len(endpoints))
		for i, u := range endpoints {
			hosts[i] = docker.RegistryHost{
				Client: client, Authorizer: authorizer, Scheme: u.Scheme, Host: u.Host, Path: orDefault(u.Path, "/v2"),
				Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityReferrers,
			}
		}
		return hosts, nil
	}
}

// hostDir looks for a host's directory in several certs.d ones; the first wins.
func hostDir(roots []string) func(host string) (string, error) {
	return func(host string) (string, error) {
		for _, root := range roots {
			dir, err := config.HostDirFromRoot(root)(host)
			if dir != "" || err != nil && !errdefs.IsNotFound(err) {
				return dir, err
			}
		}
		return "", nil
	}
}

// endpoints are the URLs that mirrors has for a host, or for "*", and the host itself last.
func (s *settings) endpoints(host string) ([]*url.URL, error) {
	mirror, ok := s.Registry.Mirrors[host]
	if !ok {
		mirror = s.Registry.Mirrors["*"]
	}
	own, err := docker.DefaultHost(host)
	if err != nil {
		return nil, fmt.Errorf("registry %q: %w", host, err)
	}
	var urls []*url.URL
	listed := false
	for _, endpoint := range mirror.Endpoints {
		u, err := parseEndpoint(endpoint)
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
		listed = listed || u.Host == host || u.Host == own
	}
	if listed {
		return urls, nil
	}
	return append(urls, &url.URL{Scheme: schemeOf(own), Host: own}), nil
}

func parseEndpoint(endpoint string) (*url.URL, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = schemeOf(endpoint) + "://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("registry.mirrors: endpoint %q is not a URL: %w", endpoint, errdefs.ErrInvalidArgument)
	}
	return u, nil
}

// schemeOf is docker's choice for a host without one.
func schemeOf(endpoint string) string {
	host, _, _ := strings.Cut(endpoint, "/")
	if docker.IsLocalhost(host) {
		return "http"
	}
	return "https"
}

// withToken sends the registry token to the registry of domain, and to no mirror.
func withToken(hosts docker.RegistryHosts, domain string, auth Auth) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		for i := range list {
			if hubHost(list[i].Host) == hubHost(domain) && auth.isFor(domain) {
				list[i].Authorizer = bearer{host: list[i].Host, token: auth.RegistryToken}
			}
		}
		return list, err
	}
}

// verified asks image verifiers about what a name stands for before it is fetched.
type verified struct {
	remotes.Resolver
	verifiers map[string]imageverifier.ImageVerifier
}

func (v verified) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	name, desc, err := v.Resolver.Resolve(ctx, ref)
	if err != nil {
		return name, desc, err
	}
	for _, verifier := range slices.Sorted(maps.Keys(v.verifiers)) {
		judgement, err := v.verifiers[verifier].VerifyImage(ctx, name, desc)
		if err != nil {
			return "", ocispec.Descriptor{}, fmt.Errorf("image verifier %s: %w: %w: %w", verifier, ErrRefused, err, errdefs.ErrFailedPrecondition)
		}
		if !judgement.OK {
			return "", ocispec.Descriptor{}, fmt.Errorf("image verifier %s: %w: %s: %w", verifier, ErrRefused, judgement.Reason, errdefs.ErrPermissionDenied)
		}
	}
	return name, desc, nil
}

// SetOptions hands the limits of a pull on: the client looks for this method.
func (v verified) SetOptions(options ...transfer.ImageResolverOption) {
	if r, ok := v.Resolver.(remotes.ResolverWithOptions); ok {
		r.SetOptions(options...)
	}
}
