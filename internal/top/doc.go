// SPDX-License-Identifier: Apache-2.0

// Package top shows what pods use of a node, and the daemon beside them: on a
// terminal, again and again, or once as a table or as JSON.
//
// A sample is taken through CRI, so any CRI server will do, and from /proc: the
// server's process is the peer of the socket. Two samples make a [Report], in which
// time used became percent. A report is rendered by functions without side effects;
// only terminal and screen know that there is a terminal.
package top
