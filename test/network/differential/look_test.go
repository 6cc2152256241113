// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// scene is what is to be seen in a world at one time.
type scene struct {
	config  string            // the row, in small letters
	known   map[string]string // what random names stand for, since the world began
	parts   map[string]string
	spaces  []*space
	bridges []map[string]any // ports' VLANs
	tc      []map[string]any
}

// space is a network namespace.
type space struct {
	name      string // "host" or the pod's
	links     []map[string]any
	routes    []map[string]any
	rules     []map[string]any
	neighbors []map[string]any
	sysctls   map[string]string
}

// questions are what ip is asked in one batch. The answers are one JSON array each.
const questions = "addr show\nroute show table all\nrule show\nneigh show nud permanent\n"

// look takes everything in.
func (w *world) look(ctx context.Context) (*scene, error) {
	s := &scene{config: w.config, known: w.names, parts: map[string]string{}}
	names := []string{"host"}
	for _, pod := range pods {
		if w.spaces[pod] != nil {
			names = append(names, pod)
		}
	}
	for _, name := range names {
		sp := &space{name: name, sysctls: map[string]string{}}
		if err := w.within(name, func() error { return sp.read(ctx) }); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.spaces = append(s.spaces, sp)
	}
	if s.any(filtersVLANs) {
		if err := ask(ctx, "", &s.bridges, "bridge", "-j", "vlan", "show"); err != nil {
			return nil, err
		}
	}
	if s.any(shapes) {
		return s, s.readTC(ctx)
	}
	return s, nil
}

// any tells whether the host has such a link.
func (s *scene) any(such func(link map[string]any) bool) bool {
	return slices.ContainsFunc(s.spaces[0].links, such)
}

func filtersVLANs(link map[string]any) bool {
	info, _ := link["linkinfo"].(map[string]any)
	data, _ := info["info_data"].(map[string]any)
	return data["vlan_filtering"] == 1.0
}

// shapes tells whether a link has a queueing discipline, or is there to have one.
func shapes(link map[string]any) bool {
	info, _ := link["linkinfo"].(map[string]any)
	return info["info_kind"] == "ifb" || !slices.Contains([]any{"noqueue", "noop", nil}, link["qdisc"])
}

// within calls f on a thread in a namespace of the world.
func (w *world) within(name string, f func() error) (err error) {
	if name == "host" {
		return f()
	}
	kernel.OnThread(func() {
		if err = kernel.Setns(int(w.spaces[name].Fd()), unix.CLONE_NEWNET, name); err == nil {
			err = f()
		}
	})
	return err
}

func (sp *space) read(ctx context.Context) error {
	out, err := command(ctx, questions, "ip", "-j", "-d", "-batch", "-")
	if err != nil {
		return err
	}
	answers := json.NewDecoder(bytes.NewReader(out))
	for _, into := range []*[]map[string]any{&sp.links, &sp.routes, &sp.rules, &sp.neighbors} {
		if err := answers.Decode(into); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("ip: %w: %s", err, out)
		}
	}
	sp.readSysctls()
	return nil
}

// watched are sysctls of each interface that plugins write, or that decide about how it answers.
var watched = map[string][]string{
	"ipv4": {"forwarding", "route_localnet", "arp_notify", "arp_filter", "arp_ignore", "proxy_arp", "rp_filter", "accept_local"},
	"ipv6": {"forwarding", "disable_ipv6", "accept_ra", "accept_dad", "enhanced_dad", "dad_transmits", "addr_gen_mode", "proxy_ndp", "mtu", "keep_addr_on_down"},
}

// readSysctls reads those of each interface, and of those to come.
func (sp *space) readSysctls() {
	names := []string{"all", "default"}
	for _, l := range sp.links {
		names = append(names, l["ifname"].(string))
	}
	for family, keys := range watched {
		for _, name := range names {
			for _, key := range keys {
				sp.readSysctl("net/" + family + "/conf/" + name + "/" + key)
			}
		}
	}
	sp.readSysctl("net/ipv4/ip_forward")
}

func (sp *space) readSysctl(key string) {
	if text, err := os.ReadFile("/proc/sys/" + key); err == nil { // interfaces go
		sp.sysctls[key] = strings.TrimSpace(string(text))
	}
}

// readTC reads queueing disciplines, and the filters where packets come in.
func (s *scene) readTC(ctx context.Context) error {
	var disciplines []map[string]any
	if err := ask(ctx, "", &disciplines, "tc", "-j", "qdisc", "show"); err != nil {
		return err
	}
	for _, d := range disciplines {
		if d["kind"] == "noqueue" {
			continue
		}
		s.tc = append(s.tc, d)
		if d["kind"] != "ingress" && d["kind"] != "clsact" {
			continue
		}
		var filters []map[string]any
		if err := ask(ctx, "", &filters, "tc", "-j", "filter", "show", "dev", fmt.Sprint(d["dev"]), "ingress"); err != nil {
			return err
		}
		for _, f := range filters {
			f["dev"] = d["dev"]
			s.tc = append(s.tc, f)
		}
	}
	return nil
}

// filter is the packet filter of the host, by nftables and by both kinds of iptables.
func (w *world) filter(ctx context.Context) (string, error) {
	var ruleset struct {
		Nftables []map[string]any `json:"nftables"`
	}
	if err := ask(ctx, "", &ruleset, "nft", "-j", "list", "ruleset"); err != nil {
		return "", err
	}
	text := describeRuleset(ruleset.Nftables)
	programs := []string{}
	if byIptables(ruleset.Nftables) {
		programs = append(programs, "iptables-nft-save", "ip6tables-nft-save")
	}
	for name, program := range map[string]string{"ip": "iptables-legacy-save", "ip6": "ip6tables-legacy-save"} {
		if tables, _ := os.ReadFile("/proc/net/" + name + "_tables_names"); len(tables) > 0 {
			programs = append(programs, program)
		}
	}
	for _, program := range programs {
		out, err := command(ctx, "", program)
		if err != nil {
			return "", err
		}
		text += describeSaved(program, string(out))
	}
	return text, nil
}

// byIptables tells whether there are tables that iptables could have made.
func byIptables(ruleset []map[string]any) bool {
	for _, object := range ruleset {
		table, _ := object["table"].(map[string]any)
		switch table["name"] {
		case "filter", "nat", "mangle", "raw", "security":
			return true
		}
	}
	return false
}

// readFiles are the plugins' states, each with its mode.
func readFiles() (string, error) {
	var text strings.Builder
	for _, root := range []string{"/run", "/var/lib"} {
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if path == cacheDir || path == "/run/netns" {
				return filepath.SkipDir
			}
			if path == root || path == "/run/xtables.lock" {
				return nil
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			var content []byte
			if info.Mode().IsRegular() {
				content, err = os.ReadFile(path)
			}
			fmt.Fprintf(&text, "%s %v %q\n", path, info.Mode(), content)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

// settlePatience and settleLooks, each at the least, bound how long an interface may outlive its DEL: some rows have DEL leave it for good. On a
// machine that stands still, or is slow, so many looks take longer.
const (
	settlePatience = 5 * time.Second
	settleLooks    = 200
)

// settle waits until interfaces are gone that a DEL left to the kernel, or to somebody who looks a second later.
func (w *world) settle(ctx context.Context, name string) error {
	verb, rest, _ := strings.Cut(name, " ")
	if verb != "DEL" {
		return nil
	}
	pod, _, _ := strings.Cut(rest, " ")
	deadline := time.Now().Add(settlePatience)
	for looks := 0; looks < settleLooks || time.Now().Before(deadline); looks++ {
		left, err := w.left(ctx, pod)
		if err != nil || !left {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil // the comparison tells what is left
}

// left tells whether the pod has its interface still, or the host one whose other end is in no namespace of this world, or that is marked
// for deletion by its group.
func (w *world) left(ctx context.Context, pod string) (bool, error) {
	attached := 0
	for name := range w.spaces {
		has, err := w.hasInterface(name)
		if err != nil || has && name == pod {
			return has, err
		}
		if has {
			attached++
		}
	}
	var links []map[string]any
	if err := ask(ctx, "", &links, "ip", "-j", "link", "show", "type", "veth"); err != nil {
		return false, err
	}
	for _, l := range links {
		if randomName.MatchString(fmt.Sprint(l["ifname"])) && l["link"] == nil {
			attached--
		}
	}
	if attached < 0 {
		return true, nil
	}
	var all []map[string]any
	err := ask(ctx, "", &all, "ip", "-j", "-d", "link", "show")
	return slices.ContainsFunc(all, func(l map[string]any) bool {
		return l["ifname"] == macvlanMaster && l["promiscuity"] != 0.0 || l["group"] != "default"
	}), err
}

// macvlanMaster is promiscuous as long as a pod has an interface on it.
const macvlanMaster = "out0"

func (w *world) hasInterface(pod string) (has bool, err error) {
	err = w.within(pod, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		has = bytes.Contains(text, []byte("eth0:"))
		return err
	})
	return has, err
}

// ask has a program answer in JSON.
func ask(ctx context.Context, input string, into any, name string, args ...string) error {
	out, err := command(ctx, input, name, args...)
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// command runs a program in the namespace of the calling thread.
func command(ctx context.Context, input, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out, err
}
