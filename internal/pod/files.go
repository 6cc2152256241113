// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// hostname of the pod: the requested one, or the host's.
func (r *running) hostname() string {
	if r.cfg.Hostname != "" && !r.hostNetwork {
		return r.cfg.Hostname
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// writeFiles writes what containers get in /etc. /etc/hosts is the kubelet's as a rule; this is for
// clients that do not bring one.
func (r *running) writeFiles(context.Context) error {
	resolv, err := resolvConf(r.cfg.GetDnsConfig())
	if err != nil {
		return err
	}
	hosts, err := hostFile("/etc/hosts")
	if err != nil {
		return err
	}
	uid, gid := r.rootIDs()
	for name, content := range map[string][]byte{
		resolvConfName: resolv, hostsName: hosts, hostnameName: []byte(r.hostname() + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(r.dir(), name), content, 0o644); err != nil {
			return fmt.Errorf("file of the pod: %w", err)
		}
		if uid == 0 && gid == 0 {
			continue
		}
		if err := os.Chown(filepath.Join(r.dir(), name), uid, gid); err != nil {
			return fmt.Errorf("file of the pod: %w", err)
		}
	}
	return nil
}

// resolvConf is resolv.conf(5) of a DNS config, or the host's without one.
func resolvConf(dns *runtime.DNSConfig) ([]byte, error) {
	if dns == nil || len(dns.Servers)+len(dns.Searches)+len(dns.Options) == 0 {
		return hostFile("/etc/resolv.conf")
	}
	for _, s := range append(append(append([]string{}, dns.Servers...), dns.Searches...), dns.Options...) {
		if strings.ContainsAny(s, "\n\r\x00") {
			return nil, invalid("dns_config: %q has a line break", shorten(s))
		}
	}
	var b strings.Builder
	if len(dns.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.Searches, " "))
	}
	for _, server := range dns.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(dns.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.Options, " "))
	}
	return []byte(b.String()), nil
}

// hostFile is a file of the host, empty when it has none.
func hostFile(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return content, err
}
