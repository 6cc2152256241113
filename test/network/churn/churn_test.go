// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// conflist is a network as small nodes have it, with everything that leaves traces on the host. The reference's bridge leaves
// masquerading rules behind when its DEL has no namespace or is interrupted, so it gets none to make.
const conflist = `{"cniVersion":"1.1.0","name":"churn","plugins":[
	{"type":"bridge","bridge":"brchurn","isGateway":true,"ipMasq":%t,"ipMasqBackend":"nftables","hairpinMode":true,"ipam":{"type":"host-local","dataDir":%q,
	 "ranges":[[{"subnet":"10.78.0.0/24"}],[{"subnet":"fd78::/120"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},
	{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true},"snat":true}]}`

func TestChurn(t *testing.T) {
	testnode.NeedRoot(t)
	programs := filepath.Dir(e2e.Program(t, "bridge"))
	for _, test := range []struct {
		name       string
		operations int
		kills      int
		inside     func(generation int) bool
	}{
		{"inside", 1000, 30, func(int) bool { return true }},
		{"programs", 60, 4, func(int) bool { return false }},
		{"either", 200, 10, func(generation int) bool { return generation%2 == 0 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &scenario{t: t, programs: programs, operations: setting(t, "OPERATIONS", test.operations), kills: test.kills, inside: test.inside}
			s.seed = uint64(setting(t, "SEED", int(time.Now().UnixNano())))
			t.Logf("SARDINE_CHURN_SEED=%d", s.seed)
			s.play()
		})
	}
}

func setting(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv("SARDINE_CHURN_" + name)
	if text == "" {
		return standard
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SARDINE_CHURN_%s: %v", name, err)
	}
	return value
}

// traces are what is on the host for single pods: nothing once all are detached.
func (s *scenario) traces() map[string]string {
	found := map[string]string{
		"addresses":  s.names(s.dir + "/addresses/churn/[1f]*"),
		"records":    s.names(s.dir + "/state/attachments/*"),
		"results":    s.names(s.dir + "/cache/results/*"),
		"interfaces": s.output("ip", "-o", "link", "show", "type", "veth"),
	}
	var rules []byte
	for line := range bytes.Lines([]byte(s.output("nft", "list", "ruleset"))) {
		if bytes.Contains(line, []byte("pod-")) || bytes.Contains(line, []byte("10.78.0.")) && !bytes.Contains(line, []byte("10.78.0.0/24")) {
			rules = append(rules, line...)
		}
	}
	found["rules"] = string(rules)
	return found
}

func (s *scenario) names(pattern string) string {
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return ""
	}
	return fmt.Sprint(found)
}

func (s *scenario) output(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: %v: %s", name, err, out)
	}
	return string(out)
}

// nothingLeft waits until there is no trace of any pod.
func (s *scenario) nothingLeft() {
	s.t.Helper()
	deadline := time.Now().Add(testnode.Patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		left := ""
		for what, trace := range s.traces() {
			if trace != "" {
				left += fmt.Sprintf("%s: %s\n", what, trace)
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("left after %v:\n%s", testnode.Patience, left)
			return
		}
		time.Sleep(pause)
	}
}
