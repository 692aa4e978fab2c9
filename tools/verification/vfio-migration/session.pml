/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A model of the VFIO migration core's concurrency, for Spin: SET_STATE, reset, close
 * of the device, the data fd's readers or writers and its close, the worker, the
 * driver's kick, and signals, on one device. "make check-model" runs it.
 *
 * Each inline stands for the function that it names. A step of the model is one access
 * to what others access with no lock: bits of a session, reset_pending, bus_reset, busy,
 * deferred, the wait queues. What a spinlock covers is one step, as nobody sees its
 * middle, unless it writes what is read with no lock, as reset does. state_mutex and
 * reset_lock are variables; of a wait queue there is what each process waits on.
 *
 * What is checked: all that is asserted below, and that everything comes to an end,
 * where judge looks: who sleeps is woken, whatever is closed and reset at whatever
 * time. All operations are few, so all runs are finite: a cycle would be a livelock.
 *
 * Left out: weak memory order (every access is seen at once; the barriers are not
 * judged), P2P and the way back from STOP_COPY (more arcs, and no other lock), drain,
 * poll, splice and nowait (they share the slot with read), the stream's bytes, servers
 * that serve two sessions at once, how they find their work (worker.c), a session that
 * yields to others, fatal signals of who waits for the mutex, and failed allocations.
 *
 * -DBUG_... plants a mistake, each where it says so.
 */

/* The most that any configuration has (init, at the end, has them all). */
#define MAX_SESSIONS	4
#define MAX_RESETTERS	2
#define MAX_PROCS	14
#define NONE		MAX_SESSIONS
#define NR_SECTIONS	2	/* of a stream; the last is the end section */

/* How much happens. */
byte nr_setters = 1, nr_sets = 1;	/* callers of SET_STATE, calls of each */
byte nr_clients = 1, nr_calls = 1;	/* who reads or writes the data fd, calls of each */
byte nr_resetters = 1;
byte nr_closes;		/* times that the device is closed; else it stays open */
bool bus;		/* the first resetter is the bus, others come by ioctl */
bool close_fd;		/* the data fd may be closed */
bool loading;		/* SET goes to RESUMING, else to saving states */
bool info;		/* clients ask for the bytes left, besides */
bool emfile;		/* fds may not be installed */
bool signals;		/* one may come, for whoever sleeps */
bool slow;		/* the device may be one that has to be waited for */
byte faults;		/* driver callbacks that fail */

/* enum vfio_device_mig_state, without P2P */
#define ERROR		0
#define STOP		1
#define RUNNING		2
#define STOP_COPY	3
#define RESUMING	4
#define PRE_COPY	5

/* Results: 0, 1, or one of these. */
#define EAGAIN		2
#define ENODEV		3
#define ENOMSG		4
#define EINTR		5
#define ECANCELED	6
#define EIO		7
#define EINVAL		8
#define MORE		9
#define IDLE		10
#define DONE		11

/* struct vfio_mig_session; ref is 0 before it is opened and after it is freed. */
typedef session {
	byte ref;
	byte files;		/* references to the file */
	byte queued;		/* sections in the ring or list */
	byte moved;		/* sections that the driver gave or took */
	byte copying;		/* owners of the slot: what the code cannot count */
	byte undo;
	bool fd;		/* is in the table of fds */
	bool saving;
	bool ended;
	bool kicked;
	bool delivered;
	bool waiting;
	bool served;
	bool slot;
	bool working;
	bool error;
	bool idle;
	bool stop_copy;
	bool done;
	bool stalled;
	bool ending;
	bool complete;
}
session S[MAX_SESSIONS];

/* Is there any session that @what holds for? */
#define ANY(what)	(what(0) || what(1) || what(2) || what(3))

#define IS_FD(s)	S[s].fd
#define TO_SERVE(s)	(S[s].waiting && !S[s].served)

/* struct vfio_mig */
bool state_mutex, reset_lock;
byte state = RUNNING;
bool busy, reset_pending, bus_reset, deferred;
bool open = true;
byte current = NONE;
byte reset_count;
byte mig_ref = 1;

/* The device: it is ready when it says so by a kick. */
bool ready = true;

/* Who does what, for the assertions and the end. */
byte nr_opened;			/* sessions so far */
byte ioctls;			/* calls in progress, which keep the device open */
bool closing, closed, gone;	/* the last close has begun, is over; no more opens */
bool in_driver;
byte setting;		/* processes that may still call SET */
byte resetters;
bool moved[MAX_RESETTERS];	/* a SET has begun since the reset was asked for */

#define NOWHERE		(MAX_SESSIONS + 1)
#define MIG		MAX_SESSIONS	/* vfio_mig.wait; below are those of sessions */
byte sleeps[MAX_PROCS] = NOWHERE;
byte signalled = MAX_PROCS;

#define OVERTAKEN	(reset_pending || !open || reset_count != count)
#define ABORTED		(reset_pending || !open)
#define OCCUPIED	(busy || bus_reset)
#define ENDS(from, to)	(from == RESUMING || (from == STOP_COPY && to != STOP_COPY) || \
			 (from == PRE_COPY && to != STOP_COPY))
#define OPENS(from, to)	(to == RESUMING || to == PRE_COPY || \
			 (to == STOP_COPY && from != PRE_COPY))

/* Whoever touches a session holds a reference, or knows who does. */
#define TOUCH(s)	assert(S[s].ref > 0 && mig_ref > 0)

/* vfio_mig_next_arc(), for a device without P2P */
inline next_arc(from, to, next)
{
	if
	:: from == to -> next = to
	:: else ->
		if
		:: from == STOP -> next = (to == STOP_COPY || to == RESUMING -> to : RUNNING)
		:: from == RUNNING -> next = (to == PRE_COPY -> to : STOP)
		:: from == STOP_COPY -> next = (to == PRE_COPY -> ERROR : STOP)
		:: from == RESUMING -> next = STOP
		:: from == PRE_COPY -> next = (to == STOP_COPY -> to : RUNNING)
		:: from == ERROR -> next = ERROR
		fi
	fi
}

/* mutex_lock(), and a first look at reset_pending, which nobody else could tell apart */
inline lock()
{
	atomic {
		!state_mutex ->
			state_mutex = true;
			due = reset_pending
	}
}

/* wake_up_all() */
inline wake(queue)
{
	d_step {
		i = 0;
		do
		:: i < MAX_PROCS ->
			if
			:: sleeps[i] == queue -> sleeps[i] = NOWHERE
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

/*
 * wait_event(): who looks stands in the queue already, so both are one step. @heeds
 * says whether a signal is.
 */
inline wait_event(queue, condition, heeds, result)
{
	do
	:: atomic {
		if
		:: condition -> sleeps[_pid] = NOWHERE; break
		:: else -> sleeps[_pid] = queue
		fi
	   }
		if
		:: sleeps[_pid] != queue
		:: atomic { heeds && signalled == _pid -> sleeps[_pid] = NOWHERE; result = EINTR }
			break
		fi
	od
}

/* Every callback of the driver */
inline enter_driver()
{
	atomic {
		assert(state_mutex && !in_driver && !closed);
		in_driver = true
	}
}

inline leave_driver()
{
	in_driver = false
}

/* vfio_mig_session_put(), vfio_mig_session_release() */
inline session_put(s)
{
	atomic {
		TOUCH(s);
		S[s].ref--;
		if
		:: S[s].ref == 0 ->
			assert(!S[s].copying && !S[s].working && !S[s].waiting &&
			       !S[s].served && !S[s].files && current != s);
			S[s].queued = 0;
			mig_ref--
		:: else
		fi
	}
}

/* vfio_mig_session_end() */
inline session_end(s)
{
	atomic {
		TOUCH(s);
		S[s].ended = true
	}
	wake_ended(s)
}

inline wake_ended(s)
{
#ifndef BUG_NO_WAKE
	wake(s)
#else
	skip
#endif
}

/* vfio_mig_session_purge(), vfio_mig_save_purge(), vfio_mig_load_purge() */
inline session_purge(s)
{
	atomic {
		TOUCH(s);
#ifdef BUG_PURGE_BUSY
		mine = S[s].ended
#else
		mine = S[s].ended && !S[s].slot && !S[s].working
#endif
	}
	if
	:: atomic {
		mine ->
			TOUCH(s);
			assert(!S[s].copying);
			S[s].queued = 0;
			mine = false
	   }
	:: else
	fi
}

/* vfio_mig_session_work() */
inline session_work(s)
{
	atomic {
		TOUCH(s);
		if
		:: !S[s].ended && !S[s].waiting ->
			S[s].waiting = true;
#ifndef BUG_NO_REF
			S[s].ref++
#endif
		:: else
		fi
	}
}

/* vfio_mig_session_detach() */
inline session_detach()
{
	atomic {
		!reset_lock ->
			assert(state_mutex);
			was = current;
			current = NONE;
			if
			:: was != NONE -> TOUCH(was); S[was].ended = true
			:: else
			fi
	}
	if
	:: was != NONE ->
		wake_ended(was);
		session_purge(was);
		session_put(was);
		was = NONE
	:: else
	fi
}

/* vfio_mig_run_pending(), vfio_mig_run_reset(); due is what the caller saw. */
inline run_pending()
{
	if
	:: due ->
		atomic {
			!reset_lock ->
				due = reset_pending && !bus_reset;
				if
				:: due -> reset_pending = false
				:: else
				fi
		}
		if
		:: due ->
			due = false;
			session_detach();
			enter_driver();
			atomic {
				leave_driver();
				reset_count++;
				state = RUNNING
			}
		:: else
		fi
	:: else
	fi
}

/* vfio_mig_unlock(), vfio_mig_session_undefer() */
inline unlock()
{
	do
	:: true ->
#if !defined(BUG_RESET_LOST) && !defined(BUG_RESET_SPINS)
		due = reset_pending;
		run_pending();
#endif
		state_mutex = false;
#if defined(BUG_RESET_LOST) || defined(BUG_NO_SECOND_LOOK)
		due = false;
#else
		due = reset_pending && !bus_reset;
#endif
		if
		:: atomic { due && !state_mutex -> state_mutex = true }
		:: due && state_mutex -> break
		:: !due -> break
		fi
	od;
	due = false;
#ifndef BUG_NO_UNDEFER
	if
	:: deferred ->
		atomic {
			!reset_lock ->
				if
				:: deferred && current != NONE -> session_work(current)
				:: else
				fi;
				deferred = false
		}
	:: else
	fi
#endif
}

/* vfio_mig_begin() */
inline begin()
{
	do
	:: lock();
		ret = 0;
		run_pending();
		if
		:: !OCCUPIED -> break
		:: else
		fi;
		unlock();
		wait_event(MIG, !OCCUPIED, true, ret);
		if
		:: ret == EINTR -> break
		:: else
		fi
	od
}

/* vfio_mig_release_file() of a file that was delivered, or whose session is over */
inline file_put(s)
{
	atomic {
		TOUCH(s);
		assert(S[s].files > 0);
		S[s].files--;
		last = S[s].files == 0
	}
	if
	:: last ->
		last = false;
		if
		:: S[s].saving ->
			session_end(s);
			session_purge(s)
		:: else
		fi;
		session_put(s)
	:: else
	fi
}

/*
 * SET_STATE
 */

/* vfio_mig_session_open() */
inline session_open()
{
	atomic {
		new = nr_opened;
		nr_opened++;
		S[new].ref = 1;
		S[new].files = 1;
		S[new].saving = next != RESUMING;
		S[new].stop_copy = next == STOP_COPY;
		mig_ref++
	}
}

/* vfio_mig_publish() */
inline publish()
{
	atomic {
		!reset_lock ->
			assert(current == NONE);
			if
			:: open && !reset_pending ->
				S[new].ref++;
				current = new
			:: else
			fi
	}
	if
	:: current == new -> session_work(new)
	:: else -> session_end(new)
	fi
}

/* vfio_mig_enter_error() */
inline enter_error()
{
	atomic {
		state = ERROR;
		session_detach()
	}
}

/* vfio_mig_load_set_ending(false), which is vfio_mig_load_resume() */
inline load_resume(s)
{
	atomic {
		TOUCH(s);
		S[s].ending = false
	}
	wake(s)
}

/* vfio_mig_load_drained() */
#define DRAINED(s)	(S[s].ended || S[s].error || !S[s].queued)

/* vfio_mig_load_drain() */
inline load_drain()
{
	atomic { count2 = reset_count; busy = true }
	unlock();
	wait_event(judged, DRAINED(judged), true, arc);
	/* vfio_mig_clear_busy() */
	atomic { !state_mutex -> state_mutex = true }
	busy = false;
#ifndef BUG_BUSY_NO_WAKE
	wake(MIG);
#endif
	if
	:: ABORTED || reset_count != count2 -> arc = ECANCELED
	:: else
	fi
}

/* vfio_mig_load_verdict() */
inline load_verdict()
{
	atomic {
		TOUCH(judged);
		assert(current == judged);
		if
		:: !S[judged].error && !S[judged].complete -> S[judged].error = true
		:: else
		fi;
		if
		:: S[judged].error -> arc = EIO
		:: else
		fi
	}
	wake(judged)
}

/* vfio_mig_load_finish() */
inline load_finish()
{
	judged = current;
	assert(judged != NONE);
	if
	:: back && !S[judged].delivered
	:: else ->
		atomic {
			TOUCH(judged);
			S[judged].ref++;
			S[judged].ending = true
		}
		session_work(judged);
		load_drain();
		if
		:: arc == 0 ->
			load_verdict();
			if
			:: arc != 0 -> enter_error()
			:: else
			fi
		:: arc == EINTR -> load_resume(judged)
		:: else
		fi;
		session_put(judged)
	fi;
	judged = NONE
}

/* The driver's arc(), which may sleep in vfio_mig_wait_event() */
inline driver_arc()
{
	enter_driver();
	if
	:: leave_driver()
	:: atomic { faults > 0 -> faults--; arc = EIO; leave_driver() }
	:: atomic { faults > 0 -> faults--; arc = EIO; broken = true; leave_driver() }
	:: !ready ->
		wait_event(MIG, ready || ABORTED, !back, arc);
		if
		:: arc == 0 && ABORTED -> arc = ECANCELED
		:: else
		fi;
		leave_driver()
	fi
}

/* vfio_mig_call_arc() */
inline call_arc()
{
	if
	:: ABORTED -> arc = ECANCELED
	:: else -> driver_arc()
	fi;
	if
	:: broken ->
		broken = false;
		enter_error()
	:: else
	fi
}

/* vfio_mig_stay() */
inline stay()
{
	if
	:: state == RESUMING -> load_resume(current)
	:: state == STOP_COPY && current != NONE -> session_work(current)
	:: else
	fi
}

/* vfio_mig_entered() */
inline entered()
{
	atomic {
		state = next;
		lost = lost || ENDS(from, next)
	}
	if
	:: ENDS(from, next) -> session_detach()
	:: !ENDS(from, next) && next == STOP_COPY && current != NONE ->
		/* vfio_mig_save_stop_copy() */
		atomic {
			TOUCH(current);
			S[current].stop_copy = true
		}
		wake(current);
		session_work(current)
	:: else
	fi
}

/* vfio_mig_discard(); the file's release comes when the caller is on its way out. */
inline discard(s)
{
	session_end(s);
	dropped = s
}

/* vfio_mig_make_arc() */
inline make_arc()
{
	atomic {
		from = state;
		arc = 0;
		if
		:: OPENS(from, next) -> session_open()
		:: else
		fi
	}
	if
	:: from == RESUMING -> load_finish()
	:: else
	fi;
	if
	:: arc == 0 ->
		call_arc();
		if
		:: arc != 0 -> stay()
		:: else
		fi
	:: else
	fi;
	if
	:: arc == 0 ->
		entered();
		if
		:: new != NONE ->
			publish();
			opened = new
		:: else
		fi
	:: arc != 0 && new != NONE -> discard(new)
	:: else
	fi;
	new = NONE
}

/* vfio_mig_walk(), vfio_mig_walk_step(), vfio_mig_walk_back() */
inline walk()
{
	do
	:: state == goal || (back && ABORTED) || (!back && OVERTAKEN) -> break
	:: else ->
		atomic { next_arc(state, goal, next) }
		make_arc();
		assert(!back || opened == NONE);
		if
		:: arc == 0 ->
			if
			:: opened != NONE -> S[opened].undo = (lost -> from : start)
			:: else
			fi
		:: arc != 0 && !back ->
			ret = arc;
			if
			:: !lost && state != ERROR && !OVERTAKEN ->
				back = true;
				goal = start
			:: else -> break
			fi
		:: else -> break
		fi
	od
}

/* vfio_mig_set_state(), vfio_mig_walk_all(), vfio_mig_walk_outcome() */
inline set_state()
{
	begin();
	if
	:: ret == 0 ->
		atomic {
			note_set();
			start = state;
			count = reset_count;
			goal = target;
			/* vfio_mig_look_ahead() */
			next_arc(start, target, next)
		}
		if
		:: next == ERROR -> ret = EINVAL
		:: else -> walk()
		fi;
		if
		:: OVERTAKEN -> ret = ECANCELED
		:: else
		fi;
		if
		:: ret != 0 && opened != NONE ->
			discard(opened);
			opened = NONE
		:: else
		fi;
		/* What the caller is told, in whose order with resets. */
		assert(open && (ret != 0 || state == target));
		unlock()
	:: else
	fi
}

/* vfio_mig_withdraw() */
inline withdraw()
{
	if
	:: !S[opened].ended ->
		begin();
		if
		:: ret == 0 && current == opened && !S[opened].ended ->
			atomic {
				note_set();
				back = true;
				goal = S[opened].undo;
				dropped = opened;
				opened = NONE
			}
			walk();
			unlock();
			atomic { opened = dropped; dropped = NONE }
		:: ret == 0 && (current != opened || S[opened].ended) -> unlock()
		:: ret != 0
		fi
	:: else
	fi
}

/* Who looks at the outcome of a reset has to know. */
inline note_set()
{
	d_step {
		i = 0;
		do
		:: i < MAX_RESETTERS -> moved[i] = true; i++
		:: else -> break
		od;
		i = 0
	}
}

/* vfio.ko: install the fd, or not */
inline deliver()
{
	if
	:: S[opened].fd = true
	:: emfile ->
		/* Nothing keeps the device open while the file is released. */
		ioctls--;
		withdraw();
		file_put(opened);
		ioctls++
	fi
}

proctype setter()
{
	byte calls = nr_sets;
	byte i, target, goal, start, count, count2, next, from, ret, arc;
	byte new = NONE, opened = NONE, dropped = NONE, judged = NONE, was = NONE;
	bool lost, back, broken, mine, due, last;

	do
	:: atomic { calls > 0 && !closing -> calls--; ioctls++ }
		if
		:: loading -> target = RESUMING
		:: !loading -> target = STOP_COPY
		:: !loading -> target = PRE_COPY
		:: target = (loading -> STOP : RUNNING)
		fi;
		set_state();
		if
		:: ret == 0 && opened != NONE -> deliver()
		:: else
		fi;
		if
		:: dropped != NONE -> file_put(dropped)
		:: else
		fi;
		d_step {
			ioctls--;
			target = 0; goal = 0; start = 0; count = 0; count2 = 0;
			next = 0; from = 0; ret = 0; arc = 0;
			opened = NONE; dropped = NONE; lost = false; back = false
		}
	:: atomic { (calls == 0 || gone) -> setting--; break }
	od
}

/*
 * The data fd
 */

/* vfio_mig_save_ready() */
inline save_ready(s)
{
	if
	:: S[s].ended -> ret = ENODEV
	:: else ->
		if
		:: S[s].queued -> ret = (S[s].slot -> EAGAIN : 1)
		:: else ->
			if
			:: S[s].error -> ret = EIO
			:: !S[s].error && S[s].done -> ret = 0
			:: !S[s].error && !S[s].done && S[s].idle && !S[s].stop_copy &&
			   !S[s].kicked -> ret = ENOMSG
			:: else -> ret = EAGAIN
			fi
		fi
	fi
}

/* vfio_mig_load_ready(); the window is one section. */
inline load_ready(s)
{
	if
	:: S[s].ended -> ret = ENODEV
	:: !S[s].ended && S[s].error -> ret = EIO
	:: else -> ret = (S[s].slot || S[s].ending || S[s].queued -> EAGAIN : 1)
	fi
}

/* vfio_mig_slot_try() */
inline slot_try(s)
{
	atomic {
		TOUCH(s);
		if
		:: S[s].saving -> save_ready(s)
		:: else -> load_ready(s)
		fi;
		if
		:: ret == 1 ->
#ifndef BUG_TWO_READERS
			S[s].slot = true;
#endif
			S[s].copying++
		:: else
		fi
	}
}

/* vfio_mig_slot_take() */
inline slot_take(s)
{
	do
	:: atomic {
		slot_try(s);
		if
		:: ret != EAGAIN -> sleeps[_pid] = NOWHERE; break
		:: else -> sleeps[_pid] = s
		fi
	   }
		if
		:: sleeps[_pid] != s
		:: atomic { signalled == _pid -> sleeps[_pid] = NOWHERE; ret = EINTR }
			break
		fi
	od
}

/* vfio_mig_slot_release() */
inline slot_release(s)
{
	atomic {
		S[s].slot = false;
		S[s].copying--
	}
	wake(s);
	session_purge(s)
}

/* vfio_mig_save_read(): claim, copy, consume, which may go on if there is more. */
inline save_read(s)
{
	do
	:: atomic {
		TOUCH(s);
		claimed = (S[s].ended -> 0 : S[s].queued)
	   }
		if
		:: claimed == 0 ->
			assert(got || S[s].ended);
			ret = (got -> 1 : ENODEV);
			break
		:: else
		fi;
		/* User memory: here it may sleep as long as it wants to. */
		assert(S[s].copying == 1);
		atomic {
			assert(S[s].copying == 1 && S[s].queued >= claimed);
			S[s].queued = S[s].queued - claimed;
			claimed = 0;
			got = true;
			work = S[s].stalled;
			S[s].stalled = false
		}
		if
		:: work -> session_work(s); work = false
		:: else
		fi;
		if
		:: true -> ret = 1; break
		:: true
		fi
	od;
	got = false
}

/* vfio_mig_read_iter() */
inline read(s)
{
	slot_take(s);
	if
	:: ret == 1 ->
		save_read(s);
		slot_release(s)
	:: else
	fi
}

/* vfio_mig_get_precopy() */
inline get_precopy(s)
{
	begin();
	if
	:: ret == 0 ->
		if
		:: current != s || S[s].ended -> ret = ENODEV
		:: current == s && !S[s].ended && state != PRE_COPY -> ret = EINVAL
		:: else ->
			/* vfio_mig_count_precopy() */
			enter_driver();
			leave_driver();
			if
			:: S[s].moved < NR_SECTIONS - 1 -> S[s].kicked = true
			:: else
			fi
		fi;
		if
		:: S[s].kicked -> session_work(s)
		:: else
		fi;
		unlock()
	:: else
	fi
}

/* vfio_mig_load_write(), with vfio_mig_load_accepts(): one section */
inline load_write(s)
{
	assert(S[s].copying == 1);
	atomic {
		TOUCH(s);
		if
		:: S[s].ended -> ret = ENODEV
		:: !S[s].ended && S[s].error -> ret = EIO
		:: !S[s].ended && !S[s].error && S[s].ending -> ret = EAGAIN
		:: else -> ret = 1; S[s].queued++
		fi
	}
	if
	:: ret == 1 -> session_work(s)
	:: else
	fi
}

/* vfio_mig_load_settle() */
inline load_settle(s)
{
	wait_event(s, DRAINED(s), true, ret)
}

/* vfio_mig_write_iter(), of the sections that make a stream, or of fewer */
inline write(s)
{
	do
	:: slot_take(s);
		if
		:: ret != 1 -> break
		:: else
		fi;
		if
		:: S[s].moved == NR_SECTIONS ->
			/* E2BIG, were it not for a client that knows its stream */
			slot_release(s);
			break
		:: else
		fi;
		load_write(s);
		slot_release(s);
		if
		:: ret != EAGAIN -> break
		:: else
		fi
	od;
	if
	:: ret == 1 && S[s].moved + S[s].queued == NR_SECTIONS -> load_settle(s)
	:: else
	fi
}

proctype client()
{
	byte calls = nr_calls;
	byte i, s = NONE, ret, claimed, was = NONE;
	bool got, work, mine, due, last;

	do
	:: atomic {
		calls > 0 ->
			calls--;
			/* The newest fd, or none. */
			s = MAX_SESSIONS;
			do
			:: s > 0 && !S[s - 1].fd -> s--
			:: else -> break
			od;
			if
			:: s > 0 -> s--; S[s].files++
			:: s == 0 -> s = NONE; calls++
			fi
	   }
		if
		:: s == NONE ->
			/* No fd now: wait for one, if one may come. */
			if
			:: ANY(IS_FD)
			:: !ANY(IS_FD) && setting == 0 -> break
			fi
		:: else ->
			if
			:: S[s].saving -> read(s)
			:: S[s].saving && info -> get_precopy(s)
			:: !S[s].saving -> write(s)
			fi;
			file_put(s)
		fi;
		s = NONE;
		ret = 0
	:: calls == 0 -> break
	od
}

/*
 * Reset
 */

/* vfio_mig_ask_reset(), vfio_mig_ask_bus_reset() */
inline ask_reset(from_bus, by_bus)
{
	atomic {
		!reset_lock ->
			reset_lock = true;
			asked = open;
			moved[me] = false
	}
	if
	:: from_bus -> bus_reset = by_bus
	:: else
	fi;
	if
	:: asked ->
		reset_pending = true;
		if
		:: current != NONE -> session_end(current)
		:: else
		fi
	:: else
	fi;
	reset_lock = false;
	wake(MIG)
}

/* vfio_mig_reset() */
inline reset()
{
	ask_reset(false, false);
	if
	:: asked ->
		do
		:: wait_event(MIG, !bus_reset, false, ret);
			lock();
			run_pending();
#ifdef BUG_RESET_TOO_EARLY
			over = true;
#else
			over = !reset_pending;
#endif
			unlock();
			if
			:: over -> break
			:: else
			fi
		od;
		assert(state == RUNNING || moved[me])
	:: else
	fi
}

/* vfio_mig_reset_prepare(), vfio_mig_reset_done() */
inline reset_by_bus()
{
	ask_reset(true, true);
	assert(bus_reset);
	ask_reset(true, false);
	if
	:: atomic { !state_mutex -> state_mutex = true }
		unlock()
	:: else
	fi
}

proctype resetter(byte me)
{
	byte i, ret, was = NONE;
	bool asked, over, mine, due;

	if
	:: !bus || me == 1 ->
		if
		:: atomic { !closing -> ioctls++ }
			reset();
			ioctls--
		:: gone
		fi
	:: bus && me == 0 -> reset_by_bus()
	fi;
	resetters--
}

/*
 * The device is opened and closed
 */

/* vfio_mig_lock_from_bus() */
inline lock_from_bus()
{
	do
	:: atomic { !state_mutex -> state_mutex = true }
		if
		:: !bus_reset -> break
		:: else
		fi;
		state_mutex = false;
		wait_event(MIG, !bus_reset, false, ret)
	od
}

/* vfio_mig_close() */
inline device_close()
{
	atomic { !reset_lock -> reset_lock = true }
	open = false;
	again = reset_pending;
#ifndef BUG_CLOSE_KEEPS_RESET
	reset_pending = false;
#endif
#ifdef BUG_CLOSE_ENDS_BUS
	bus_reset = false;
#endif
	if
	:: current != NONE -> session_end(current)
	:: else
	fi;
	reset_lock = false;
	wake(MIG);
	lock_from_bus();
	session_detach();
	if
	:: again || state == ERROR || state == RESUMING ->
		enter_driver();
		leave_driver()
	:: else
	fi;
	state = STOP;
	again = false;
	atomic { state_mutex = false; closed = true }
}

/* vfio_mig_open() */
inline device_open()
{
	lock_from_bus();
	closed = false;
	state = RUNNING;
	atomic { !reset_lock -> open = true }
	unlock()
}

proctype opener()
{
	byte closes = nr_closes;
	byte i, ret, was = NONE;
	bool again, mine, due;

	do
	:: atomic { closes > 0 && ioctls == 0 -> closing = true; closes-- }
		device_close();
		if
		:: closes == 0 -> break
		:: else
		fi;
		device_open();
		closing = false
	od;
	gone = true;
	/* vfio_mig_free(), when the driver's other callers are gone */
	atomic {
		resetters == 0 ->
			assert(mig_ref > 0);
			mig_ref--
	}
}

/*
 * close(2) of the data fd, at any time or never
 */
proctype closer()
{
	byte i, s;
	bool mine, last;

	do
	:: atomic {
		ANY(IS_FD) ->
			s = 0;
			do
			:: !S[s].fd -> s++
			:: else -> break
			od;
			/* vfio_mig_flush() */
			S[s].delivered = true;
			S[s].fd = false
	   }
		file_put(s);
		s = 0
	:: gone || (!ANY(IS_FD) && setting == 0) -> break
	od
}

/*
 * The driver's vfio_mig_kick(), and the device that becomes ready
 */
proctype device()
{
	byte i;

	ready = true;
	atomic { !reset_lock -> reset_lock = true }
	if
	:: current != NONE ->
		atomic { TOUCH(current); S[current].kicked = true }
		session_work(current)
	:: else
	fi;
	reset_lock = false;
	wake(MIG)
}

/* One signal, or none, for a setter or client. It stays pending. */
proctype killer()
{
	if
	:: signalled = 1
	:: signalled = 1 + nr_setters
	:: true
	fi
}

/*
 * The worker
 */

/* vfio_mig_session_trylock() */
inline session_trylock()
{
	locked = false;
	if
	:: atomic { !state_mutex -> state_mutex = true; locked = true }
	:: else ->
		deferred = true;
		if
		:: atomic { !state_mutex -> state_mutex = true; locked = true }
			if
			:: current != s
			:: atomic { current == s && deferred -> deferred = false }
			:: else ->
				unlock();
				locked = false
			fi
		:: else
		fi
	fi
}

/* May the driver be called? It is looked at under state_mutex. */
#ifdef BUG_USE_AFTER_END
#define MAY_CALL	true
#else
#define MAY_CALL	(current == s && !S[s].ended)
#endif

/* The driver's save() */
inline driver_save()
{
	assert(current == s);
	enter_driver();
	atomic {
		if
		:: faults > 0 -> faults--; ret = EIO
		:: !ready -> ret = IDLE
		:: state == STOP_COPY && S[s].moved == NR_SECTIONS - 1 -> ret = DONE
		:: state == PRE_COPY && S[s].moved == NR_SECTIONS - 1 -> ret = IDLE; idle = true
		:: S[s].moved < NR_SECTIONS - 1 -> ret = MORE; S[s].moved++
		fi;
		leave_driver()
	}
}

/* vfio_mig_save_may(); the window is one section. */
inline save_may()
{
	atomic {
		TOUCH(s);
		go = !S[s].ended && !S[s].error && !S[s].done;
		if
		:: go ->
			go = S[s].queued == 0;
			S[s].stalled = !go;
			S[s].idle = S[s].idle && !go
		:: else
		fi
	}
}

/* vfio_mig_session_fail() */
inline session_fail()
{
	atomic {
		TOUCH(s);
		S[s].error = true
	}
	wake(s)
}

/* vfio_mig_save_work(), vfio_mig_save_step(), vfio_mig_save_produce() */
inline save_work()
{
	do
	:: save_may();
		if
		:: go -> session_trylock()
		:: else -> break
		fi;
		if
		:: locked
		:: else -> break
		fi;
		if
		:: MAY_CALL ->
			S[s].kicked = false;
			driver_save()
		:: else -> ret = ENODEV
		fi;
		unlock();
		if
		:: ret == ENODEV ->
			assert(S[s].ended);
			break
		:: ret == EIO ->
			session_fail();
			break
		:: ret == MORE ->
			atomic { TOUCH(s); S[s].queued++ }
		:: ret == DONE ->
			atomic { TOUCH(s); S[s].queued++; S[s].done = true }
			break
		:: ret == IDLE ->
			atomic { TOUCH(s); S[s].idle = idle; idle = false }
			break
		fi
	od
}

/* vfio_mig_load_work(), vfio_mig_load_section(), vfio_mig_load_call() */
inline load_work()
{
	do
	:: atomic {
		TOUCH(s);
		go = !S[s].ended && !S[s].error && S[s].queued > 0
	   }
		if
		:: go
		:: else -> break
		fi;
		ret = MORE;
		if
		:: S[s].moved == NR_SECTIONS - 1 ->
			/* vfio_mig_load_end() */
			atomic { TOUCH(s); S[s].complete = true }
		:: else ->
			session_trylock();
			if
			:: locked
			:: else -> break
			fi;
			if
			:: MAY_CALL -> driver_load()
			:: else -> ret = ENODEV
			fi;
			unlock()
		fi;
		if
		:: ret == ENODEV ->
			assert(S[s].ended);
			break
		:: ret == EIO ->
			session_fail();
			break
		:: ret == IDLE -> break
		:: ret == MORE ->
			/* vfio_mig_load_consumed() */
			atomic { TOUCH(s); assert(S[s].queued > 0); S[s].queued--; S[s].moved++ }
			wake(s)
		fi
	od
}

/* The driver's load() */
inline driver_load()
{
	assert(current == s);
	enter_driver();
	atomic {
		if
		:: faults > 0 -> faults--; ret = EIO
		:: !ready -> ret = IDLE
		:: true
		fi;
		leave_driver()
	}
}

/* vfio_mig_server(), vfio_mig_next(), vfio_mig_session_serve(), vfio_mig_session_idle() */
proctype worker()
{
	byte i, s, ret, was = NONE;
	bool go, locked, idle, mine, due;

end:	do
	:: atomic {
		ANY(TO_SERVE) ->
			/* The first in the queue may be the oldest or the newest. */
			if
			:: s = 0;
				do
				:: !TO_SERVE(s) -> s++
				:: else -> break
				od
			:: s = MAX_SESSIONS - 1;
				do
				:: !TO_SERVE(s) -> s--
				:: else -> break
				od
			fi;
			TOUCH(s);
			S[s].waiting = false;
			S[s].served = true;
			go = !S[s].ended;
			S[s].working = go
	   }
		if
		:: go ->
			if
			:: S[s].saving -> save_work()
			:: else -> load_work()
			fi;
			atomic { TOUCH(s); S[s].working = false }
			wake(s);
			session_purge(s)
		:: else
		fi;
		atomic { TOUCH(s); S[s].served = false }
		session_put(s);
		d_step { s = 0; ret = 0; go = false; locked = false; idle = false }
	od
}

/*
 * When nothing moves any more: is all that came carried out, is all that is over gone?
 * Who then still sleeps, is at no valid end: a wake-up or a reset was lost.
 */
proctype judge()
{
	byte s;

	timeout;
	assert(!state_mutex && !reset_lock && !in_driver && !busy);
	assert(!reset_pending && !bus_reset && open == (nr_closes == 0));
	assert(open || current == NONE);
	assert(!open || nr_resetters == 0 || state == RUNNING || moved[0]);
	assert(!open || nr_resetters < 2 || state == RUNNING || moved[1]);
	for (s : 0 .. MAX_SESSIONS - 1) {
		assert(!S[s].waiting && !S[s].served && !S[s].working && !S[s].copying);
		/* Only the fd and the device keep a session, and nothing its memory. */
		assert(S[s].ref == S[s].fd + (current == s));
		assert(S[s].ref == 0 || S[s].ended || current == s);
		assert(!S[s].ended || S[s].queued == 0);
		mig_ref = mig_ref - (S[s].ref > 0)
	}
	assert(mig_ref == open)
}

/* Only that one, for whoever looks for a certain mistake. */
#ifndef ONLY
#define TRY(name)	true
#else
#define TRY(name)	(name == ONLY)
#endif
#define RESETS		1
#define BUS		2
#define CLOSES		3
#define READERS		4
#define RESET_LOADS	5
#define CUT_LOADS	6
#define FAULTS		7
#define LOAD_FAULTS	8
#define WAITS		9
#define WITHDRAWS	10
#define QUERIES		11
#define SETTERS		12
#define KICKS		13
#define NEXT_SETS	14
#define RESET_WRITES	15
#define BUS_CLOSES	16
#define LOAD_KICKS	17
#define BUS_AND_IOCTL	18

init {
	byte i;

	atomic {
		if
		:: TRY(RESETS)
		:: TRY(BUS) -> bus = true
		:: TRY(CLOSES) -> nr_resetters = 0; nr_closes = 1; close_fd = true
		:: TRY(READERS) -> nr_resetters = 0; nr_clients = 2; close_fd = true
		:: TRY(RESET_LOADS) -> loading = true; nr_sets = 2; nr_clients = 0
		:: TRY(RESET_WRITES) -> loading = true
		:: TRY(LOAD_KICKS) -> loading = true; slow = true; nr_resetters = 0; nr_sets = 2
		:: TRY(BUS_CLOSES) -> bus = true; nr_closes = 2; nr_clients = 0
		:: TRY(BUS_AND_IOCTL) -> bus = true; nr_resetters = 2; nr_clients = 0
		:: TRY(CUT_LOADS) ->
			loading = true; nr_resetters = 0; nr_sets = 2; signals = true; nr_closes = 1
		:: TRY(FAULTS) -> nr_resetters = 0; nr_sets = 2; faults = 2
		:: TRY(LOAD_FAULTS) ->
			loading = true; nr_resetters = 0; nr_sets = 2; nr_calls = 2; faults = 2
		:: TRY(WAITS) -> slow = true; nr_clients = 0
		:: TRY(WITHDRAWS) -> nr_resetters = 0; emfile = true; nr_closes = 2
		:: TRY(QUERIES) -> info = true; bus = true
		:: TRY(SETTERS) ->
			loading = true; nr_resetters = 0; nr_setters = 2; nr_sets = 2; nr_clients = 0
		:: TRY(KICKS) -> slow = true; nr_resetters = 0; nr_closes = 1
		:: TRY(NEXT_SETS) -> nr_sets = 2; nr_clients = 0
		fi;
#ifdef BIG
		/* More of what each has already. */
		nr_sets = (nr_setters == 1 -> 2 : nr_sets);
		nr_calls = (nr_clients <= 1 -> 2 : nr_calls);
		nr_clients = (nr_clients == 0 -> 1 : nr_clients);
#endif
		setting = nr_setters;
		resetters = nr_resetters;
		ready = !slow;
		for (i : 1 .. nr_setters) { run setter() }
		for (i : 1 .. nr_clients) { run client() }
		for (i : 1 .. nr_resetters) { run resetter(i - 1) }
		if :: nr_closes > 0 -> run opener() :: else fi;
		if :: close_fd -> run closer() :: else fi;
		if :: slow -> run device() :: else fi;
		if :: signals -> run killer() :: else fi;
		run worker();
		run judge();
		i = 0
	}
}
