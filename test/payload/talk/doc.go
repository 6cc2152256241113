// SPDX-License-Identifier: Apache-2.0

// Package talk is output of which every byte is known: numbered lines made from a seed, which a
// program prints in a container and a test expects in its log.
//
// The program keeps a [Page], a file that it shares with the test, in which stands how much it has
// written. The kernel keeps what is in it whatever becomes of the program, so that the test
// knows what must be in the log even if the program was killed in the middle of a write.
package talk
