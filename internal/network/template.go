// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containernetworking/cni/libcni"
)

// templateFile has containerd's name, so that a node that changes over has one file and not two.
const templateFile = "10-containerd-net.conflist"

// templateValues are what a template can name.
type templateValues struct {
	PodCIDR       string   // the first
	PodCIDRRanges []string // all
	Routes        []string // the default route of each address family
}

// SetPodCIDR implements Attacher. Nothing is written when there is no template, or when there is
// a network already. The CIDRs are also what plugins get that ask for ipRanges. ErrInvalidArgument.
func (n *Networks) SetPodCIDR(cidrs string) error {
	if cidrs == "" {
		return nil
	}
	values, err := valuesOf(cidrs)
	if err != nil {
		return err
	}
	if err := n.cidrs.set(values.PodCIDRRanges); err != nil {
		return err
	}
	if n.config.ConfTemplate == "" {
		return nil
	}
	if c := n.standard.current(); len(c.networks) > 0 && !c.ours {
		log.L.WithField("networks", c.summary()).Info("cni: there is a network, so conf_template is not used")
		return nil
	}
	return n.fillIn(values)
}

func valuesOf(cidrs string) (templateValues, error) {
	var v templateValues
	for cidr := range strings.SplitSeq(cidrs, ",") {
		cidr = strings.TrimSpace(cidr)
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return v, fmt.Errorf("pod CIDR: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		route := "0.0.0.0/0"
		if prefix.Addr().Is6() {
			route = "::/0"
		}
		v.PodCIDRRanges = append(v.PodCIDRRanges, cidr)
		if !slices.Contains(v.Routes, route) {
			v.Routes = append(v.Routes, route)
		}
	}
	slices.Sort(v.Routes) // IPv4 first
	v.PodCIDR = v.PodCIDRRanges[0]
	return v, nil
}

// fillIn writes the configuration, at once for every reader.
func (n *Networks) fillIn(values templateValues) error {
	failed := func(err error, class error) error {
		return fmt.Errorf("cni: conf_template %s: %w: %w", n.config.ConfTemplate, err, class)
	}
	t, err := template.ParseFiles(n.config.ConfTemplate)
	if err != nil {
		return failed(err, errdefs.ErrFailedPrecondition)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, values); err != nil {
		return failed(err, errdefs.ErrFailedPrecondition)
	}
	if _, err := libcni.NetworkConfFromBytes(text.Bytes()); err != nil {
		return failed(err, errdefs.ErrFailedPrecondition)
	}
	if err := os.MkdirAll(n.config.ConfDir, 0o755); err != nil {
		return failed(err, errdefs.ErrInternal)
	}
	if err := writeFile(filepath.Join(n.config.ConfDir, templateFile), text.Bytes(), 0o644); err != nil {
		return failed(err, errdefs.ErrInternal)
	}
	return nil
}

// writeFile replaces a file at once. It is not synchronized: a file that a power failure emptied is unusable,
// and the kubelet's next call fills it in again.
func writeFile(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// podCIDRs are the node's, kept for the next daemon: a kubelet says them once.
type podCIDRs struct {
	path string

	mu    sync.Mutex
	cidrs []string
}

func (p *podCIDRs) load(path string) error {
	p.path = path
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pod CIDRs: %w", err)
	}
	values, err := valuesOf(string(text))
	if err != nil {
		log.L.WithError(err).Warn("cni: the pod CIDRs that an earlier daemon noted are unusable")
		return nil
	}
	p.cidrs = values.PodCIDRRanges
	return nil
}

func (p *podCIDRs) set(cidrs []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Equal(p.cidrs, cidrs) {
		return nil
	}
	if err := writeFile(p.path, []byte(strings.Join(cidrs, ",")), 0o600); err != nil {
		return fmt.Errorf("pod CIDRs: %w: %w", err, errdefs.ErrInternal)
	}
	p.cidrs = cidrs
	return nil
}

func (p *podCIDRs) get() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cidrs
}
