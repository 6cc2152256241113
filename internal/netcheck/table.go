// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints pods, a line for each interface.
func WriteTable(w io.Writer, pods []Pod) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAMESPACE\tPOD\tID\tSTATE\tNETWORK\tINTERFACE\tADDRESSES\tHOST PORTS\tNETNS")
	for _, p := range pods {
		line := func(network, name, addresses, ports string) {
			fmt.Fprintf(t, "%s\t%s\t%.12s\t%s\t%s\t%s\t%s\t%s\t%s\n",
				printable(p.Namespace), printable(p.Name), p.ID, p.State, network, name, addresses, ports, orDash(p.NetNS))
		}
		switch {
		case p.HostNetwork:
			line("(host)", "-", "-", "-")
		case len(p.Interfaces) == 0:
			line("-", "-", "-", "-")
		}
		for i, n := range p.Interfaces {
			ports := []string{}
			for _, port := range p.Ports {
				if i == 0 {
					ports = append(ports, port.String())
				}
			}
			line(printable(n.Network), n.Name, orDash(strings.Join(n.Addresses, ",")), orDash(strings.Join(ports, ",")))
		}
	}
	return t.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

// printable keeps names from writing to the terminal what they like.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

// Write prints a report.
func (r *Report) Write(w io.Writer) {
	if r.Unanswered != "" {
		fmt.Fprintf(w, "The daemon does not run, or does not answer (%s).\nWhat it has written down of pods is taken for them.\n", printable(r.Unanswered))
	}
	if r.Busy {
		fmt.Fprintln(w, "Pods are being attached: interfaces are not looked at. Try again when fewer pods start.")
	}
	for i := range r.Findings {
		fmt.Fprintln(w, "left over:", printable(r.Findings[i].String()))
	}
	if len(r.Findings) == 0 {
		fmt.Fprintf(w, "Nothing is left over: %d pods, networks %s.\n", r.Pods, printable(strings.Join(r.Networks, ", ")))
	}
}
