/* What the pages do in a browser beyond showing themselves; each works without it but for its buttons. */
(() => {
  "use strict";

  /* Airflow keeps the colours that were chosen in its own pages here; unset means as the system is. */
  const theme = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch {
      /* A browser that keeps nothing follows the system. */
    }
    const root = document.documentElement;
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    else delete root.dataset.theme;
  };
  theme();
  addEventListener("storage", (event) => {
    if (event.key === "theme" || event.key === null) theme();
  });

  const sent = (address, method, body) =>
    fetch(address, {
      method,
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-Participation-Request": "page" },
      body: JSON.stringify(body),
    });

  const reason = async (answer) => {
    try {
      const told = (await answer.json()).detail;
      return typeof told === "string" ? told : answer.statusText;
    } catch {
      return answer.statusText;
    }
  };

  const tell = (words) => {
    const place = document.getElementById("acted");
    if (place) place.textContent = words;
  };

  /* Ask for a fragment again and again, while somebody can see it and nobody is in the middle of it. */
  const refresh = (live) => {
    const told = document.getElementById("refreshed");
    const again = async () => {
      if (document.hidden || live.contains(document.activeElement)) return;
      try {
        const answer = await fetch(live.dataset.refresh, { credentials: "same-origin" });
        if (!answer.ok) throw new Error(String(answer.status));
        live.innerHTML = await answer.text();
        told.textContent = "";
      } catch {
        told.textContent = live.dataset.stale;
      }
    };
    let timer = null;
    const watch = () => {
      clearInterval(timer);
      timer = document.hidden ? null : setInterval(again, Number(live.dataset.seconds) * 1000);
    };
    document.addEventListener("visibilitychange", () => {
      watch();
      again();
    });
    watch();
  };

  /* Start contribution_analysis for one id, as whoever is logged in. */
  const rerun = async (button) => {
    button.disabled = true;
    try {
      const answer = await sent(button.dataset.address, "POST", {
        logical_date: null,
        conf: { ids: [button.dataset.rerun] },
      });
      if (!answer.ok) throw new Error(await reason(answer));
      tell(button.dataset.done);
    } catch (error) {
      button.disabled = false;
      tell(`${button.dataset.failed} ${error.message}`);
    }
  };

  /* Put on record what an author contests. */
  const contest = async (form) => {
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answer = await sent(form.dataset.address, "POST", {
        id: form.dataset.id,
        words: form.elements.words.value,
      });
      if (!answer.ok) throw new Error(await reason(answer));
      form.hidden = true;
      tell(form.dataset.done);
    } catch (error) {
      button.disabled = false;
      tell(`${form.dataset.failed} ${error.message}`);
    }
  };

  const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

  /* What was kept back until the answer; the task that takes it needs a moment. */
  const reveal = async (place) => {
    for (let tries = 0; tries < 30; tries += 1) {
      const answer = await fetch(place.dataset.opinion, { credentials: "same-origin" });
      if (answer.ok) {
        place.innerHTML = await answer.text();
        return;
      }
      await pause(2);
    }
  };

  /* Ask whether the answer would count, then give it where Required Actions give theirs. */
  const answering = (form) => {
    const choice = () => form.querySelector("input[name=option]:checked");
    const next = document.getElementById("next");
    const shortcuts = document.getElementById("shortcuts");
    const button = form.querySelector("button[type=submit]");
    const kept = () => {
      try {
        return localStorage.getItem("participation-shortcuts") !== "off";
      } catch {
        return true;
      }
    };
    shortcuts.checked = kept();
    shortcuts.addEventListener("change", () => {
      try {
        localStorage.setItem("participation-shortcuts", shortcuts.checked ? "on" : "off");
      } catch {
        /* For this page only. */
      }
    });
    const show = () => {
      const option = choice()?.value;
      for (const each of form.querySelectorAll("[data-for]")) each.hidden = each.dataset.for !== option;
      if (option !== "refuse") form.elements.reason.value = "";
    };
    form.addEventListener("change", show);
    show();

    const send = async () => {
      const option = choice();
      if (!option) return tell(form.dataset.choose);
      if (button.disabled) return undefined;
      button.disabled = true;
      try {
        const checked = await sent(form.dataset.check, "POST", {
          option: option.value,
          reason: form.elements.reason.value,
          sentence: form.elements.sentence.value,
          note: form.elements.note.value,
        });
        if (!checked.ok) throw new Error(await reason(checked));
        const { address, body } = await checked.json();
        const answer = await sent(form.dataset.airflow + address, "PATCH", body);
        if (answer.status === 409) throw new Error(form.dataset.taken);
        if (!answer.ok) throw new Error(await reason(answer));
        for (const each of form.elements) each.disabled = true;
        tell(form.dataset.sent);
        next.focus();
        const opinion = document.querySelector("[data-opinion]");
        if (opinion) reveal(opinion);
      } catch (error) {
        button.disabled = false;
        tell(`${form.dataset.failed} ${error.message}`);
      }
      return undefined;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });

    document.addEventListener("keydown", (event) => {
      const isField = event.target.matches("textarea, select, input:not([type=radio])");
      if (isField && event.key === "Escape") event.target.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
      if (isField || event.ctrlKey || event.metaKey || event.altKey || !shortcuts.checked) return;
      const option = form.querySelector(`input[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
      if (option && !option.disabled) {
        option.checked = true;
        option.focus();
        show();
      } else if (/^[1-9]$/.test(event.key) && choice()?.value === "refuse") {
        const reasons = form.elements.reason;
        if (Number(event.key) < reasons.length) reasons.selectedIndex = Number(event.key);
      } else if (event.key.toLowerCase() === "n") {
        next.click();
      } else if (event.key === "Enter" && !event.target.closest("a, button, summary")) {
        event.preventDefault();
        send();
      }
    });
  };

  /* Inside Airflow a link to a page of Airflow's turns the page around this one. */
  const follow = (event, link) => {
    if (parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
    try {
      parent.history.pushState(null, "", link.href);
      parent.dispatchEvent(new PopStateEvent("popstate", { state: null }));
      event.preventDefault();
    } catch {
      /* Shown by itself after all. */
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-rerun]");
    if (button) rerun(button);
    const link = event.target.closest("a[data-airflow]");
    if (link) follow(event, link);
  });

  document.addEventListener("DOMContentLoaded", () => {
    const live = document.querySelector("[data-refresh]");
    if (live) refresh(live);
    const question = document.getElementById("answering");
    if (question) answering(question);
    const appealing = document.getElementById("appealing");
    appealing?.addEventListener("submit", (event) => {
      event.preventDefault();
      contest(appealing);
    });
    document.querySelector(".places [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    /* What has to be scrolled sideways can be reached by keyboard. */
    for (const each of document.querySelectorAll(".scroll"))
      if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  });
})();
