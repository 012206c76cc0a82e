//! Jobs beside each other, a processor for each.

use std::{
    num::NonZero,
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

/// Something to do.
pub(crate) type Job<'a, T> = Box<dyn FnOnce() -> T + Send + 'a>;

/// Does all `jobs`, beginning with the first, as many at a time as there are processors; gives what they
/// gave, in their order.
pub(crate) fn run<T: Send>(jobs: Vec<Job<'_, T>>) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = workers.min(jobs.len());
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.next()
    };
    let work = || {
        std::iter::from_fn(next)
            .map(|(place, job)| (place, job()))
            .collect::<Vec<_>>()
    };
    let mut done = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_jobs() {
        let jobs = (0..50).map(|number| -> Job<'_, u32> {
            Box::new(move || {
                thread::yield_now();
                number
            })
        });
        assert_eq!(run(jobs.collect()), (0..50).collect::<Vec<_>>());
        assert!(run(Vec::<Job<'_, u32>>::new()).is_empty());
    }

    #[test]
    fn every_processor_has_a_job() {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let all = &Barrier::new(processors);
        let jobs = (0..processors).map(|_| -> Job<'_, ()> {
            Box::new(move || {
                all.wait();
            })
        });
        assert_eq!(run(jobs.collect()).len(), processors);
    }
}
