// Package neap supervises processes: it starts them in order, waits until each is ready, brings back what crashes, and
// stops them in reverse order without leaving one behind.
//
// There are two ways to it, with the same methods:
//
//   - [New] makes a supervisor inside the program. It takes over no signal, reaps no child but its own, and ends with
//     the program: [Supervisor.Close] stops what it started.
//   - [Connect] goes to a running instance (`neap daemon`, `neap up`), whose processes live on without this program.
//
// Every call takes a context. When that ends, the call ends with its error; what it asked for goes on, as it does when
// a client of the command line goes away. [Supervisor.Start] and its like answer when the outcome is there: a started
// process is ready, a stopped one is gone with its whole tree.
//
// Errors are [*Error] values, told apart by [errors.Is] with [ErrNotFound], [ErrRefused] and the other variables.
//
// The package calls libneap, the C interface of Neap, through cgo; see the README for how it is found.
package neap
