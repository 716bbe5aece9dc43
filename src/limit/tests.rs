use super::table::{Claim, Table};
use super::{Counted, LimitId, Rate};
use crate::shelf::{Memory, Shelf, Unavailable};
use crate::time::Timestamp;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// How long before its request counts a worker may have read the clock.
const READ_BEFORE: u64 = SECOND / 10;
/// The longest that an identity owes in these tests.
const LONGEST: u64 = 24 * 3600 * SECOND;
const START: u64 = 1_800_000_000 * SECOND;

/// A number that the same seed makes again (SplitMix64).
struct Dice(Cell<u64>);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What other workers do between a worker's reading and its writing.
type Others = Rc<RefCell<Vec<Box<dyn FnOnce()>>>>;

/// A shelf that several workers share, each of which may be interrupted at any of its steps.
#[derive(Clone)]
struct Interleaved {
    memory: Rc<Memory>,
    others: Others,
    dice: Rc<Dice>,
}

impl fmt::Debug for Interleaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interleaved")
    }
}

impl Interleaved {
    fn interrupt(&self) {
        while self.dice.roll(3) > 0 {
            let Some(other) = self.others.borrow_mut().pop() else { return };
            other();
        }
    }
}

impl Shelf for Interleaved {
    fn read(&self, place: u32) -> Result<(Vec<u8>, u32), Unavailable> {
        self.interrupt();
        self.memory.read(place)
    }

    fn write(&self, place: u32, bytes: &[u8], version: u32) -> Result<bool, Unavailable> {
        self.interrupt();
        self.memory.write(place, bytes, version)
    }
}

fn drain(others: &Others) {
    while let Some(other) = { others.borrow_mut().pop() } {
        other();
    }
}

fn rate(requests: u32, secs: u64, burst: u32) -> Rate {
    Rate::new(requests, Duration::from_secs(secs), burst).unwrap()
}

fn claim(limit: usize, identity: u64, rate: Rate) -> Claim {
    // The upper half chooses the bucket.
    let identity = identity.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let identity = identity ^ (limit as u64) << 8;
    Claim { limit: LimitId(limit), identity, rate, counted: Counted::Requests }
}

fn take(table: &Table, claims: &[Claim], now: u64) -> bool {
    let now = Timestamp::from_nanos(now);
    let rooms = match claims {
        // As requests with one limit are counted.
        [claim] if claim.limit == LimitId(0) => vec![table.take_one(claim, now).unwrap()],
        claims => table.take(claims, |_| true, now).unwrap(),
    };
    assert_eq!(rooms.len(), claims.len());
    rooms.iter().all(|room| room.passes())
}

fn shared(table: &mut Table, shelf: &Interleaved) {
    table.open(7, Box::new(shelf.clone()));
}

#[test]
fn any_sequence_on_any_workers_stays_within_the_bound() {
    for seed in 0..400 {
        let dice = Rc::new(Dice(Cell::new(seed)));
        let rate = rate(1 + dice.roll(20) as u32, 1 + dice.roll(10), 1 + dice.roll(10) as u32);
        let others = Others::default();
        let shelf = Interleaved {
            memory: Rc::default(),
            others: Rc::clone(&others),
            dice: Rc::clone(&dice),
        };
        // Few places, so that identities have to give way.
        let workers: Vec<Rc<Table>> = (0..3)
            .map(|_| {
                let mut table = Table::new(16, LONGEST);
                shared(&mut table, &shelf);
                Rc::new(table)
            })
            .collect();
        let passed: Rc<RefCell<HashMap<u64, Vec<u64>>>> = Rc::default();
        let (mut time, mut behind) = (START, 0);
        for round in 0..400 {
            let passes = [0, 1, SECOND / 100, SECOND / 10, SECOND][dice.roll(5) as usize];
            if passes >= SECOND / 10 || round % 20 == 0 {
                // No request takes that long.
                drain(&others);
            }
            time += passes;
            if dice.roll(50) == 0 {
                // The clock is set back.
                drain(&others);
                behind += dice.roll(100 * SECOND);
            }
            let worker = Rc::clone(&workers[dice.roll(3) as usize]);
            // What a worker read of the clock may be old.
            let seen = time - behind - dice.roll(READ_BEFORE);
            let identity = dice.roll(if seed % 2 == 0 { 3 } else { 40 });
            let passed = Rc::clone(&passed);
            let request = move || {
                if take(&worker, &[claim(0, identity, rate)], seen) {
                    passed.borrow_mut().entry(identity).or_default().push(time);
                }
            };
            if dice.roll(2) == 0 {
                others.borrow_mut().push(Box::new(request));
            } else {
                request();
            }
        }
        drain(&others);
        for times in passed.borrow_mut().values_mut() {
            times.sort_unstable();
            for (first, begun) in times.iter().enumerate() {
                for (last, ended) in times.iter().enumerate().skip(first) {
                    let refilled = (ended - begun + READ_BEFORE) / rate.period();
                    let bound = u64::from(rate.burst()) + refilled;
                    let count = (last - first + 1) as u64;
                    assert!(count <= bound, "seed {seed}: {count} of {bound} with {rate:?}");
                }
            }
        }
    }
}

#[test]
fn workers_at_the_same_time_let_exactly_the_burst_pass() {
    for seed in 0..200 {
        let dice = Rc::new(Dice(Cell::new(seed)));
        let others = Others::default();
        let shelf = Interleaved {
            memory: Rc::default(),
            others: Rc::clone(&others),
            dice: Rc::clone(&dice),
        };
        let passed = Rc::new(Cell::new(0));
        let rate = rate(1, 3600, 25);
        for _ in 0..60 {
            let mut table = Table::new(64, LONGEST);
            shared(&mut table, &shelf);
            let passed = Rc::clone(&passed);
            others.borrow_mut().push(Box::new(move || {
                if take(&table, &[claim(0, 1, rate)], START) {
                    passed.set(passed.get() + 1);
                }
            }));
        }
        drain(&others);
        assert_eq!(passed.get(), 25, "seed {seed}");
    }
}

#[test]
fn a_request_takes_of_every_limit_or_of_none() {
    let table = Table::new(1024, LONGEST);
    let wide = claim(0, 1, rate(1, 3600, 10));
    let narrow = claim(1, 1, rate(1, 3600, 3));
    let passed = (0..8).filter(|_| take(&table, &[wide, narrow], START)).count();
    assert_eq!(passed, 3);
    let left = table.peek(&wide, Timestamp::from_nanos(START)).unwrap().left;
    assert_eq!(left, Some(6), "ten, less three, less the one that it asks for");
    // Of a request that is refused nothing is taken, and nothing told.
    let refused = table.take(&[wide, narrow], |_| true, Timestamp::from_nanos(START)).unwrap();
    assert_eq!((refused[0].left, refused[1].left), (Some(7), None));
    assert_eq!(refused[0].refill, 3 * 3600 * SECOND);
    // Nor where another worker takes the last one in between.
    for seed in 0..100 {
        let others = Others::default();
        let dice = Rc::new(Dice(Cell::new(seed)));
        let shelf = Interleaved { memory: Rc::default(), others: Rc::clone(&others), dice };
        let (wide, narrow) = (claim(0, 1, rate(1, 3600, 50)), claim(1, 1, rate(1, 3600, 5)));
        let passed = Rc::new(Cell::new(0));
        for _ in 0..20 {
            let mut table = Table::new(1024, LONGEST);
            shared(&mut table, &shelf);
            let passed = Rc::clone(&passed);
            others.borrow_mut().push(Box::new(move || {
                if take(&table, &[wide, narrow], START) {
                    passed.set(passed.get() + 1);
                }
            }));
        }
        drain(&others);
        let mut table = Table::new(1024, LONGEST);
        shared(&mut table, &shelf);
        let left = table.peek(&wide, Timestamp::from_nanos(START)).unwrap().left;
        // A worker may give back to see that another one had been refused for it.
        assert!((4..=5).contains(&passed.get()), "seed {seed}: {}", passed.get());
        assert_eq!(left, Some(49 - passed.get()), "seed {seed}");
    }
}

#[test]
fn a_flood_of_identities_sets_nothing_back() {
    let table = Table::new(64, LONGEST);
    let rate = rate(1, 3600, 5);
    assert_eq!((0..9).filter(|_| take(&table, &[claim(0, 0, rate)], START)).count(), 5);
    let others = (1..100_000).filter(|other| take(&table, &[claim(0, *other, rate)], START));
    // What fits in the table, and no more.
    let most = 64 * 5;
    let passed = others.count();
    assert!(passed <= most && passed > most / 2, "{passed} of {most}");
    assert!(table.evictions.get() > 0);
    assert!(!take(&table, &[claim(0, 0, rate)], START));
}

#[test]
fn who_owes_little_sets_nobody_back_who_owes_much() {
    let table = Table::new(8, LONGEST);
    let slow = |number| claim(0, number, rate(1, 3600, 3));
    for number in 0..8 {
        assert_eq!((0..9).filter(|_| take(&table, &[slow(number)], START)).count(), 3);
    }
    // All places are taken, each with a longer debt than this limit knows.
    let fast = rate(1000, 1, 1000);
    assert!((0..1000).all(|number| !take(&table, &[claim(1, number, fast)], START)));
    assert!((0..8).all(|number| !take(&table, &[slow(number)], START)));
    // Two at once, since these go another way.
    let pair = |number| [claim(1, number, fast), claim(2, number, fast)];
    assert!((0..1000).all(|number| !take(&table, &pair(number), START)));
    assert!((0..8).all(|number| !take(&table, &[slow(number)], START)));
    // But no clock that was set back keeps newcomers out.
    let back = START - 2 * LONGEST;
    assert!(!take(&table, &[claim(1, 1, fast)], back));
    assert!(take(&table, &[claim(1, 1, fast)], back + SECOND / 100));
}

#[test]
fn a_clock_that_is_set_back_costs_one_bucket_at_most() {
    let table = Table::new(64, LONGEST);
    let one = claim(0, 1, rate(10, 10, 10));
    assert!(take(&table, &[one], START));
    let back = START - 3600 * SECOND;
    assert!(!take(&table, &[one], back), "its debt is unknown, and taken for all of it");
    assert!(!take(&table, &[one], back + SECOND - 1));
    let later = back + 11 * SECOND;
    assert!(take(&table, &[one], later));
    // Nor where it is alone: a limit that is asked without another is asked in fewer steps.
    let now = Timestamp::from_nanos;
    assert!(!table.take_one(&one, now(later - 3600 * SECOND)).unwrap().passes());
    assert!(table.take_one(&one, now(later - 3588 * SECOND)).unwrap().passes());
    // And where another limit counts the same request.
    let table = Table::new(64, LONGEST);
    let both = [one, claim(1, 1, rate(10, 10, 10))];
    assert!(take(&table, &both, START));
    assert!(!take(&table, &both, back));
    assert!(take(&table, &both, back + 11 * SECOND));
}

#[test]
fn a_shelf_that_is_not_there_is_told() {
    #[derive(Debug)]
    struct Gone;
    impl Shelf for Gone {
        fn read(&self, _: u32) -> Result<(Vec<u8>, u32), Unavailable> {
            Err(Unavailable("gone"))
        }
        fn write(&self, _: u32, _: &[u8], _: u32) -> Result<bool, Unavailable> {
            Ok(false)
        }
    }
    let mut table = Table::new(64, LONGEST);
    table.open(0, Box::new(Gone));
    let one = claim(0, 1, rate(1, 1, 1));
    assert_eq!(
        table.take(&[one], |_| true, Timestamp::from_nanos(START)),
        Err(Unavailable("gone"))
    );
}

#[test]
fn guesses_take_no_place_of_requests() {
    let table = Table::new(64, LONGEST);
    let guess = |number| Claim { counted: Counted::Refused, ..claim(1, number, rate(1, 3600, 1)) };
    let passed = (0..10_000).filter(|number| take(&table, &[guess(*number)], START));
    let passed: Vec<u64> = passed.collect();
    assert!((1..=16).contains(&passed.len()));
    let fresh = (0..8).map(|number| claim(0, number, rate(1, 1, 1)));
    assert!(fresh.into_iter().all(|one| take(&table, &[one], START)));
    // And one at its limit is known to be there, also where the clock was set back meanwhile.
    let back = Timestamp::from_nanos(START - 7200 * SECOND);
    let one = guess(passed[0]);
    assert!(!table.peek(&one, back).unwrap().passes());
    let later = Timestamp::from_nanos(START - 7200 * SECOND + 3601 * SECOND);
    assert!(table.peek(&one, later).unwrap().passes());
}

#[test]
fn no_seed_shows() {
    assert!(!format!("{:?}", Table::new(8, LONGEST)).contains("seed:"));
}
