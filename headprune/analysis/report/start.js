const data = JSON.parse(pick("data").textContent);
addFiles();
if (data.maps.length) showMaps(data);
if (data.history) showPruning(data.history);
