// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// iptablesPrograms of both families. Where they are not installed nobody has made such rules.
var iptablesPrograms = []string{"iptables", "ip6tables"}

// Rules that the plugins made by iptables have a comment with the network's name and the pod's id, and lead to a chain of the pod.
var (
	iptablesComment = regexp.MustCompile(`name: \\"([^"\\]{1,255})\\" id: \\"([0-9a-f]{64})\\"`)
	podChain        = regexp.MustCompile(`^CNI-(?:DN-)?[0-9a-f]{20,24}$`)
	leadsTo         = regexp.MustCompile(` -j (\S+)`)
)

// iptablesRules are those that lead to a pod's chain.
func iptablesRules(ctx context.Context, _ *networks) (found []Finding, err error) {
	for _, program := range iptablesPrograms {
		path, err := exec.LookPath(program + "-save")
		if err != nil {
			continue
		}
		text, err := exec.CommandContext(ctx, path).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w%s", path, err, said(err))
		}
		found = append(found, parseIPTables(program, string(text))...)
	}
	return found, nil
}

func said(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}

// parseIPTables reads what iptables-save(8) prints.
func parseIPTables(program, text string) (found []Finding) {
	table := ""
	for line := range strings.SplitSeq(text, "\n") {
		if name, ok := strings.CutPrefix(line, "*"); ok {
			table = name
		}
		comment := iptablesComment.FindStringSubmatch(line)
		rule, ok := strings.CutPrefix(line, "-A ")
		if table != "nat" || comment == nil || !ok {
			continue
		}
		chain, _, _ := strings.Cut(rule, " ")
		if podChain.MatchString(chain) {
			continue // goes with the rule that leads there
		}
		f := Finding{Kind: "iptables rule", Name: program + " nat " + chain, Network: comment[1], Pod: comment[2], Detail: rule}
		f.remove = func(ctx context.Context) error { return removeIPTables(ctx, program, rule) }
		found = append(found, f)
	}
	return found
}

// removeIPTables deletes a rule and the pod's chain that it leads to, in one transaction, iptables-restore(8).
func removeIPTables(ctx context.Context, program, rule string) error {
	path, err := exec.LookPath(program + "-restore")
	if err != nil {
		return err
	}
	lines := []string{"*nat", "-D " + rule}
	if target := leadsTo.FindStringSubmatch(rule); target != nil && podChain.MatchString(target[1]) {
		lines = append(lines, "-F "+target[1], "-X "+target[1])
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "--noflush")
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(slices.Concat(lines, []string{"COMMIT", ""}), "\n")), &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
