// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/test/e2e"
)

const (
	// critestNodes is how many specs run at a time. They mostly sleep: critest
	// looks every four seconds whether what it waits for has happened.
	critestNodes = "8"
	// critestPatience bounds the whole run, which takes two minutes.
	critestPatience = 15 * time.Minute
)

// TestCritest runs Kubernetes' conformance tests for container runtimes, all of
// them, and turns each of their specs into a subtest. A spec may be skipped
// only for a reason listed in skips, and what is listed must be skipped.
func TestCritest(t *testing.T) {
	n := StartNode(t)
	specs := runCritest(t, n)
	if len(specs) < 90 {
		t.Errorf("critest ran %d specs, it has more than 90", len(specs))
	}
	seen := map[string]bool{} // reasons
	for _, s := range specs {
		t.Run(s.name, func(t *testing.T) { judge(t, s, seen) })
	}
	for _, allowed := range skips {
		if allowed.here() && !seen[allowed.why] {
			t.Errorf("stale entry in the list of skips, no spec needs it: %s", allowed.why)
		}
	}
}

func judge(t *testing.T, s spec, seen map[string]bool) {
	switch s.state {
	case "passed":
	case "skipped":
		why := reasonToSkip(s)
		if why == "" {
			t.Fatalf("skipped, and no reason is listed: %s", s.message)
		}
		seen[why] = true
		t.Skip(why)
	default:
		t.Errorf("%s after %v: %s\n%s", s.state, s.took, s.message, s.output)
	}
}

// runCritest runs critest beside the daemon and returns what became of each spec.
func runCritest(t *testing.T, n *Node) []spec {
	t.Helper()
	dir := t.TempDir()
	report := filepath.Join(dir, "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), critestPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, critest(t, dir),
		"-runtime-endpoint="+n.Endpoint(), "-image-endpoint="+n.Endpoint(), "-config="+dir+"/none", "-parallel="+critestNodes,
		"-ginkgo.json-report="+report, "-ginkgo.no-color", "-ginkgo.timeout="+critestPatience.String())
	tools := filepath.Dir(e2e.Program(t, "ginkgo"))
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "TMPDIR="+dir)
	cmd.Dir = dir
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	failed := n.Place.Run(cmd)
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("critest (%v) left no report: %v\n%s", failed, err, output.Bytes())
	}
	specs, err := parseReport(data)
	if err != nil {
		t.Fatal(err)
	}
	// Without -benchmark critest skips what measures.
	return slices.DeleteFunc(specs, func(s spec) bool { return strings.Contains(s.name, "benchmark about") })
}

// digestInCritest is what one spec pulls by digest. Only the publisher has the
// image of this digest; the copy that runs names the store's instead.
const digestInCritest = "9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf"

// critest returns the path of a copy of critest.
func critest(t *testing.T, dir string) string {
	t.Helper()
	program, err := os.ReadFile(e2e.Program(t, "critest"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(program, []byte(digestInCritest)); n != 1 {
		t.Fatalf("critest names the digest %s %d times, not once: has its list of images changed?", digestInCritest, n)
	}
	ours := strings.TrimPrefix(digestOf(t, byDigest), "sha256:")
	copied := filepath.Join(dir, "critest")
	if err := os.WriteFile(copied, bytes.Replace(program, []byte(digestInCritest), []byte(ours), 1), 0o755); err != nil {
		t.Fatal(err)
	}
	return copied
}
